//! Images.

use std::collections::BTreeMap;

use engine::images::inspect::Details;
use oci::image_config::Config;

use super::{NEVER, non_empty, text, time};
use crate::types::{GraphDriver, ImageConfig, ImageInspect, ImageMetadata, RootFs};

/// An image as `inspect` shows it.
pub fn image(details: &Details) -> ImageInspect {
    let Details { image, descriptor, .. } = details;
    let own = &image.config;
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.names.iter().map(oci::Reference::familiar).collect(),
        repo_digests: image.digests.iter().map(oci::Reference::familiar).collect(),
        parent: String::new(),
        comment: own.comment.clone(),
        created: own.created.clone(),
        docker_version: String::new(),
        author: own.author.clone(),
        config: config(&own.config),
        architecture: own.platform.architecture.clone(),
        variant: own.platform.variant.clone(),
        os: own.platform.os.clone(),
        os_version: own.platform.os_version.clone(),
        size: image.size,
        graph_driver: graph_driver(details),
        root_fs: RootFs { kind: "layers".into(), layers: image.diff_ids().iter().map(ToString::to_string).collect() },
        metadata: ImageMetadata { last_tag_time: image.tagged.map_or_else(|| NEVER.into(), time) },
        descriptor: descriptor.clone(),
    }
}

fn config(config: &Config) -> ImageConfig {
    let map = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    ImageConfig {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.clone(),
        env: non_empty(&config.env),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.clone(),
        args_escaped: config.args_escaped,
        volumes: (!config.volumes.is_empty()).then(|| config.volumes.clone()),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone(),
        on_build: non_empty(&config.on_build),
        labels: map(&config.labels),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        shell: config.shell.clone(),
    }
}

/// Docker's place for the topmost layer is `UpperDir`. An image is mounted nowhere, so there is nothing merged.
fn graph_driver(details: &Details) -> GraphDriver {
    let mut data = BTreeMap::new();
    if let Some((top, below)) = details.layers.split_last() {
        data.insert("UpperDir".to_owned(), text(top));
        if !below.is_empty() {
            let lower: Vec<String> = below.iter().rev().map(|path| text(path)).collect();
            data.insert("LowerDir".to_owned(), lower.join(":"));
        }
    }
    GraphDriver { data, name: "overlay2".into() }
}
