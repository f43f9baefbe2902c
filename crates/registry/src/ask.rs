//! One question until it is answered: mirrors first, then the registry, with pauses between.

use std::thread;

use stdx::{Error, Kind, Result};

use crate::client::Context;
use crate::error::{self, Again, Deed, Failure};
use crate::retry::Retry;
use crate::session::{Endpoint, Question};
use crate::transport::Response;

/// Asks one host until the status is one of these.
pub(crate) fn ask(
    context: &Context,
    endpoint: &Endpoint,
    deed: &Deed,
    question: &mut Question<'_>,
    expected: &[u16],
) -> Result<Response, Failure> {
    // Whoever has a mirror has somebody else to ask.
    let mut retry = if endpoint.host.is_mirror { Retry::none() } else { Retry::new(&context.config) };
    loop {
        let failure = match endpoint.exchange(context, question) {
            Ok(response) if expected.contains(&response.status) => return Ok(response),
            Ok(response) => error::refusal(&endpoint.who(), deed, response),
            Err(failure) => failure,
        };
        let pause = match failure.again {
            Again::Unreachable => None,
            again => retry.next(again),
        };
        match pause {
            Some(pause) => thread::sleep(pause),
            None => return Err(failure),
        }
    }
}

/// Asks the hosts in turn until one has an answer; the last one's failure is the failure.
pub(crate) fn first<T>(
    context: &Context,
    endpoints: &[std::sync::Arc<Endpoint>],
    mut ask: impl FnMut(&std::sync::Arc<Endpoint>) -> Result<T, Failure>,
) -> Result<T> {
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.is_gone()) {
        match ask(endpoint) {
            Ok(answer) => return Ok(answer),
            Err(failure) if endpoint.host.is_mirror => passed_over(context, endpoint, &failure),
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Error::new(Kind::Internal, "no host to ask"))
}

/// A mirror that cannot help is passed over; that it lacks something is nothing to tell.
pub(crate) fn passed_over(context: &Context, endpoint: &Endpoint, failure: &Failure) {
    if failure.again == Again::Unreachable {
        endpoint.give_up();
    }
    if failure.error.kind() != Kind::NotFound {
        context.note(format!("{} is passed over: {}", endpoint.who(), failure.error));
    }
}
