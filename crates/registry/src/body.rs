//! Bodies that are read whole: never beyond a limit.

use std::io::Read;

use serde::de::DeserializeOwned;
use stdx::{Error, Kind};

use crate::error::{Again, Failure};
use crate::transport::{self, Head, Response};

/// The whole body, at most `limit` bytes.
pub(crate) fn read(response: Response, limit: u64) -> Result<Vec<u8>, Failure> {
    take(&response.head, response.body, limit)
}

/// The same, of what stands behind this.
pub(crate) fn take(head: &Head, body: ureq::Body, limit: u64) -> Result<Vec<u8>, Failure> {
    let host = head.url.origin.authority();
    let mut bytes = Vec::new();
    let mut reader = body.into_with_config().reader().take(limit + 1);
    reader.read_to_end(&mut bytes).map_err(|error| {
        let (words, again) = transport::describe_io(&error);
        Failure::new(Error::new(Kind::Internal, format!("cannot read what \"{host}\" answered: {words}")), again)
    })?;
    if bytes.len() as u64 > limit {
        return Err(Error::corrupt(format!("\"{host}\" answered with more than {limit} bytes")).into());
    }
    Ok(bytes)
}

/// Reads what nobody wants to know, so that the connection can be used again.
pub(crate) fn discard(response: Response) {
    const WORTH_IT: u64 = 64 << 10;
    let _ = read(response, WORTH_IT);
}

/// A JSON document.
pub(crate) fn json<T: DeserializeOwned>(head: &Head, bytes: &[u8]) -> Result<T, Failure> {
    let host = head.url.origin.authority();
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(Error::corrupt(format!("\"{host}\" answered with invalid JSON: {error}")), Again::Never)
    })
}
