//! The archive as it is named on the command line.

use fossil_lite::program::Failure;
use vac::score_file::{self, ScoreFileError};
use venti_proto::Score;

/// The score of an archive: itself, or a file that holds it.
///
/// # Errors
/// If it is neither.
pub(crate) fn score(name: &str) -> Result<Score, Failure> {
    score_file::parse(name).map_err(|error| match error {
        ScoreFileError::Unreadable { name, source } => {
            let action = format!("{name} is no score, and can not be read as a file");
            Failure::System { action, source }
        }
        error => Failure::Usage { detail: error.to_string() },
    })
}
