//! What a build tells while it goes on.

use std::time::Duration;

use oci::{ImageId, Reference};

/// Hears everything, from several threads at once.
pub type Watch<'a> = &'a (dyn Fn(&Event<'_>) + Sync);

/// Names a step within its build.
pub type StepId = (usize, usize);

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A finding of the checks.
    Warning { check: &'a str, message: &'a str, excerpt: &'a str },
    /// A base image is fetched.
    Pulling { reference: &'a Reference },
    /// A step begins: number `step.1` of the `of` in its stage.
    Begin { step: StepId, stage: &'a str, of: usize, text: &'a str },
    /// It was made before.
    Cached { step: StepId },
    /// Its program writes.
    Output { step: StepId, bytes: &'a [u8] },
    /// It is done.
    Done { step: StepId, took: Duration },
    /// It failed.
    Failed { step: StepId },
    /// The image is there.
    Image { id: &'a ImageId, names: &'a [Reference] },
}
