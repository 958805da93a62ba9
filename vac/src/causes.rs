//! An error and its causes on one line, as the programs print them.
//!
//! Most errors here end with their cause already, so that they can be shown by themselves. A cause
//! that was said is not said again.

use std::error::Error;

/// The error and its causes, from the outermost on, separated by colons.
#[must_use]
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        next = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("says it: {source}")]
        Tells { source: std::io::Error },
        #[error("keeps it")]
        Silent { source: Box<Layer> },
    }

    #[test]
    fn every_cause_is_said_once() {
        let tells = Layer::Tells { source: std::io::Error::other("refused") };
        assert_eq!(in_words(&tells), "says it: refused");
        let silent = Layer::Silent { source: Box::new(tells) };
        assert_eq!(in_words(&silent), "keeps it: says it: refused");
    }
}
