//! One question until it is answered: mirrors first, then the registry, with pauses between.

use std::thread;

use stdx::{Error, Kind, Result};

use crate::body;
use crate::client::Context;
use crate::error::{self, Again, Deed, Failure};
use crate::retry::Retry;
use crate::session::{Endpoint, Question};
use crate::transport::{Head, Response};

/// Asks one host until the status is one of these.
pub(crate) fn ask(
    context: &Context,
    endpoint: &Endpoint,
    deed: &Deed,
    question: &mut Question<'_>,
    expected: &[u16],
) -> Result<Response, Failure> {
    persist(context, endpoint, || answer(context, endpoint, deed, question, expected))
}

/// The same for a document of at most `limit` bytes, which is only there when it is there whole.
pub(crate) fn document(
    context: &Context,
    endpoint: &Endpoint,
    deed: &Deed,
    question: &mut Question<'_>,
    limit: u64,
) -> Result<Document, Failure> {
    persist(context, endpoint, || {
        let Response { head, body, .. } = answer(context, endpoint, deed, question, &[200])?;
        let bytes = body::take(&head, body, limit)?;
        Ok(Document { head, bytes })
    })
}

/// A document and what came with it.
pub(crate) struct Document {
    pub(crate) head: Head,
    pub(crate) bytes: Vec<u8>,
}

fn answer(
    context: &Context,
    endpoint: &Endpoint,
    deed: &Deed,
    question: &mut Question<'_>,
    expected: &[u16],
) -> Result<Response, Failure> {
    let response = endpoint.exchange(context, question)?;
    if expected.contains(&response.status) {
        return Ok(response);
    }
    Err(error::refusal(&endpoint.who(), deed, response))
}

fn persist<T>(
    context: &Context,
    endpoint: &Endpoint,
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Whoever has a mirror has somebody else to ask.
    let mut retry = if endpoint.host.is_mirror { Retry::none() } else { Retry::new(&context.config) };
    loop {
        let failure = match ask() {
            Ok(answer) => return Ok(answer),
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
