//! What the log options `tag`, `labels` and `env` add to each entry of a container's log.

use std::collections::BTreeMap;

use serde_json::json;
use stdx::{Error, Result};
use template::Template;

use crate::containers::options::Log;
use crate::containers::record::{Record, RecordImage};

/// The attributes of every entry of a container's log: as `json-file` writes them, and `logs --details` shows them.
pub(crate) fn attributes(record: &Record) -> Result<BTreeMap<String, String>> {
    let log = &record.options.log;
    let mut attributes = BTreeMap::new();
    let labels = &record.process.labels;
    attributes.extend(listed(log, "labels").filter_map(|name| Some((name.to_owned(), labels.get(name)?.clone()))));
    let variables = record.process.env.iter().filter_map(|entry| entry.split_once('='));
    let variables: BTreeMap<&str, &str> = variables.collect();
    attributes
        .extend(listed(log, "env").filter_map(|name| Some((name.to_owned(), (*variables.get(name)?).to_owned()))));
    if log.options.contains_key("tag") {
        attributes.insert("tag".into(), tag(record)?);
    }
    Ok(attributes)
}

/// The attributes as `logs --details` shows them; empty if there are none.
pub fn details(record: &Record) -> Result<String> {
    let attributes = attributes(record)?;
    let shown: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(shown.join(","))
}

/// The fields of every entry in systemd's journal, by Docker's names.
pub(crate) fn journal_fields(record: &Record) -> Result<BTreeMap<String, String>> {
    let mut fields = attributes(record)?;
    fields.remove("tag");
    // The journal takes capital letters, digits and underscores, and none of the latter at the beginning.
    let name = |name: String| -> String {
        let name = name.to_ascii_uppercase();
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        name.trim_start_matches('_').to_owned()
    };
    let mut fields: BTreeMap<String, String> = fields.into_iter().map(|(key, value)| (name(key), value)).collect();
    let tag = tag(record)?;
    for (name, value) in [
        ("CONTAINER_ID", &record.id[..12]),
        ("CONTAINER_ID_FULL", &record.id),
        ("CONTAINER_NAME", &record.name),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", record.image.name()),
        ("SYSLOG_IDENTIFIER", &tag),
    ] {
        fields.insert(name.into(), value.into());
    }
    Ok(fields)
}

fn listed<'a>(log: &'a Log, option: &str) -> impl Iterator<Item = &'a str> {
    log.options.get(option).into_iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty())
}

/// What `tag` says, a Go template over Docker's fields; without it the short id.
fn tag(record: &Record) -> Result<String> {
    let text = record.options.log.options.get("tag").map_or("{{.ID}}", String::as_str);
    let invalid = |error| Error::invalid(format!("invalid log option \"tag={text}\": {error}"));
    let image = match &record.image {
        RecordImage::Host => "host".to_owned(),
        RecordImage::Stored { id, .. } => id.to_string(),
    };
    let short = image.rsplit(':').next().unwrap_or(&image).chars().take(12).collect::<String>();
    let data = json!({
        "ID": &record.id[..12],
        "FullID": record.id,
        "Name": record.name,
        "ImageID": short,
        "ImageFullID": image,
        "ImageName": record.image.name(),
        "DaemonName": "tare",
        "Command": record.process.args().join(" "),
    });
    Template::parse(text).and_then(|template| template.render(&data)).map_err(invalid)
}
