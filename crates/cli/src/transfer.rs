//! What a person sees of images on their way in and out: a line whenever something about a layer changes.

use std::collections::HashMap;
use std::sync::Mutex;

use engine::images::{pull, push};
use oci::Descriptor;
use registry::Pushed;
use store::Step;

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
    Nowhere,
}

/// Follows one transfer; may be told by several threads.
pub(crate) struct Transfer {
    output: Output,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The layers' short names, bottom first.
    names: Vec<String>,
    /// What was last said of each.
    said: HashMap<usize, String>,
}

impl Transfer {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, state: Mutex::default() }
    }

    pub(crate) fn pulling(&self, event: pull::Event<'_>) {
        match event {
            pull::Event::Layers(layers) => self.layers(layers, Some("Pulling fs layer")),
            pull::Event::Layer { at, step } => self.say(at, words(step)),
        }
    }

    pub(crate) fn pushing(&self, event: push::Event<'_>) {
        match event {
            push::Event::Layers(layers) => self.layers(layers, Some("Preparing")),
            push::Event::Packing { .. } | push::Event::Sending { .. } => {}
            push::Event::Sent { at, how } => self.say(
                at,
                match how {
                    Pushed::Existed => "Layer already exists",
                    Pushed::Mounted => "Mounted from another repository",
                    Pushed::Uploaded => "Pushed",
                },
            ),
        }
    }

    fn layers(&self, layers: &[Descriptor], first: Option<&str>) {
        {
            let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            state.names = layers.iter().map(|layer| layer.digest.short()).collect();
        }
        for at in 0..layers.len() {
            first.into_iter().for_each(|words| self.say(at, words));
        }
    }

    fn say(&self, at: usize, words: &str) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if words.is_empty() || state.said.get(&at).is_some_and(|said| said == words) {
            return;
        }
        state.said.insert(at, words.to_owned());
        let line = format!("{}: {words}\n", state.names.get(at).map_or("", String::as_str));
        match self.output {
            Output::Stdout => crate::table::out(&line),
            Output::Stderr => eprint!("{line}"),
            Output::Nowhere => {}
        }
    }
}

/// What Docker says of a step; nothing of the one that is only a number going up.
fn words(step: Step) -> &'static str {
    match step {
        Step::Exists => "Already exists",
        Step::Waiting => "Waiting",
        Step::Downloading { .. } | Step::Extracting { .. } => "",
        Step::Downloaded => "Download complete",
        Step::Complete => "Pull complete",
    }
}
