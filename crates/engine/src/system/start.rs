//! `system start`: after a boot, the containers run again that their policies want running.

use monitor::State;
use monitor::restart::Policy;
use stdx::Result;

use crate::Engine;
use crate::containers::attach::{self, Streams};
use crate::containers::{Container, StartError, list};

/// Starts what should run and does not. Gives each container that was to be started, and how that went.
pub fn start(engine: &Engine) -> Result<Vec<(Container, std::result::Result<(), StartError>)>> {
    let mut wanted: Vec<Container> = list::list(engine, true)?.containers.into_iter().filter(should_run).collect();
    // The oldest first: later ones may stand on earlier ones.
    wanted.reverse();
    let started = wanted.into_iter().map(|container| {
        let result = attach::start(engine, &container, Streams::default(), (0, 0));
        (container, result.map(drop))
    });
    Ok(started.collect())
}

/// A container whose monitor died, as all do when a machine goes down, has an exit with an error.
fn should_run(container: &Container) -> bool {
    let Some(State::Exited(exit)) = &container.state else { return false };
    match container.record.options.restart {
        Policy::No => false,
        Policy::Always => true,
        Policy::UnlessStopped => !exit.wanted,
        Policy::OnFailure { .. } => exit.error.is_some() && exit.exit_code != 0,
    }
}
