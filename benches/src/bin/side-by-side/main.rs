//! Runs whole programs, ours and others, on one tree in one run, and prints one table.
//!
//! Every round runs each step with every program before it goes to the next step, so that a change
//! in the machine's mood meets all of them. Everything is warm: the tree was read before. What is
//! restored is compared with the tree, outside of the timing. Programs that are not installed are
//! left out and named.

mod compare;
mod contender;
mod recipe;
mod report;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use venti_benches::process::Cost;
use venti_benches::remove::remove;

use crate::contender::{Contender, Ground};
use crate::recipe::RECIPES;
use crate::report::{Measured, Step};
use crate::tree::Kind;

/// Times whole programs side by side on one tree
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory for the tree and the stores (needs about 10 GB)
    #[arg(long, default_value = "target/side-by-side")]
    work: PathBuf,
    /// Directory to restore into, on a tmpfs; it is removed and made again
    #[arg(long, default_value = "/dev/shm/venti-side-by-side")]
    target: PathBuf,
    /// The tree
    #[arg(long, value_enum, default_value_t = Kind::Mixed)]
    tree: Kind,
    /// Rounds; the table has the medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only programs whose name contains one of these
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// Not the programs whose name contains one of these
    #[arg(long, value_delimiter = ';')]
    skip: Vec<String>,
    /// Directory of vac, unvac and venti (default: the one this program is in)
    #[arg(long)]
    ours: Option<PathBuf>,
    /// Directory of Plan 9 from User Space, for the original programs
    #[arg(long, env = "PLAN9", default_value = "/usr/local/plan9")]
    plan9: PathBuf,
    /// Print everything that was measured as JSON
    #[arg(long)]
    json: bool,
    /// Leave the stores and the tree where they are
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.work)?;
    let work = fs::canonicalize(&arguments.work)?;
    let ours = match arguments.ours {
        Some(directory) => fs::canonicalize(directory)?,
        None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    let tree = arguments.tree.name();
    let ground = Ground { work, target: arguments.target, tree, ours, plan9: arguments.plan9 };
    eprintln!("making {}", ground.work.join(tree).display());
    tree::make(arguments.tree, &ground.work)?;
    let mut race = Race::new(&ground, &arguments.only, &arguments.skip);
    for round in 0..arguments.rounds {
        race.round(round, arguments.tree)?;
    }
    let measured = race.finish();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        print!("{}", report::tables(&measured));
    }
    if !arguments.keep {
        remove(&ground.work.join("stores"))?;
        remove(&ground.work.join(tree))?;
        remove(&ground.target)?;
    }
    Ok(())
}

/// All contenders of a run, each with what was measured of it.
struct Race<'a> {
    ground: &'a Ground,
    field: Vec<(Contender<'a>, Measured)>,
}

impl<'a> Race<'a> {
    fn new(ground: &'a Ground, only: &[String], skip: &[String]) -> Race<'a> {
        let has = |name: &str, parts: &[String]| parts.iter().any(|part| name.contains(part));
        let wanted = |name: &str| (only.is_empty() || has(name, only)) && !has(name, skip);
        let recipes = RECIPES.iter().filter(|recipe| wanted(recipe.name));
        let mut field = Vec::new();
        for contender in recipes.map(|recipe| Contender::new(*recipe, ground)) {
            match contender.missing() {
                None => {
                    let name = contender.recipe.name.to_owned();
                    field.push((contender, Measured { name, ..Measured::default() }));
                }
                Some(program) => eprintln!("{}: no {program}, left out", contender.recipe.name),
            }
        }
        Race { ground, field }
    }

    fn round(&mut self, round: usize, kind: Kind) -> Result<()> {
        self.each(Step::First, |contender, measured| {
            contender.reset()?;
            let cost = contender.archive()?;
            measured.store_bytes =
                Some(tree::allocated(&contender.store())).filter(|bytes| *bytes > 0);
            Ok(cost)
        });
        self.each(Step::Unchanged, |contender, _| contender.archive());
        if kind == Kind::Huge {
            self.each(Step::OneFile, |contender, _| contender.one_file());
            return Ok(());
        }
        let tree = self.ground.work.join(self.ground.tree);
        tree::change_one_percent(&tree, round)?;
        self.each(Step::Changed, |contender, _| contender.archive());
        self.each(Step::Restore, |contender, measured| {
            let cost = contender.restore()?;
            // Without a second archive, what was restored is the tree as it was before.
            if cost.is_some() && !contender.recipe.again.is_empty() {
                measured.differences = Some(compare::compare(&tree, &contender.restored())?);
            }
            Ok(cost)
        });
        Ok(())
    }

    /// Lets every contender that has not failed do a step.
    fn each(
        &mut self,
        step: Step,
        mut run: impl FnMut(&mut Contender<'a>, &mut Measured) -> Result<Option<Cost>>,
    ) {
        for (contender, measured) in &mut self.field {
            if measured.failure.is_some() {
                continue;
            }
            match run(contender, measured) {
                Ok(None) => {}
                Ok(Some(cost)) => {
                    eprintln!("{:>24} {step:?}: {:.2} s", contender.recipe.name, cost.seconds);
                    measured.costs.entry(step).or_default().push(cost);
                }
                Err(error) => {
                    eprintln!("{:>24} {step:?}: {error:#}", contender.recipe.name);
                    measured.failure = Some(format!("{step:?}: {error:#}"));
                }
            }
            measured.server_memory = measured.server_memory.max(contender.server_memory());
        }
    }

    fn finish(self) -> Vec<Measured> {
        self.field.into_iter().map(|(_, measured)| measured).collect()
    }
}
