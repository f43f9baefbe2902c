//! `tare images --tree`: an image, and below it what it holds for a platform.

use engine::Engine;
use oci::Reference;
use stdx::size::human;
use store::Image;

use crate::error::Failure;
use crate::table;

/// Prints the images that are left, with the names that are wanted.
pub(super) fn print(
    engine: &Engine,
    images: &[Image],
    is_wanted: &dyn Fn(Option<&Reference>) -> bool,
) -> Result<i32, Failure> {
    let (store, in_use) = (engine.store()?, engine::images::in_use(engine)?);
    let mut rows = Vec::new();
    for image in images {
        let content = store.content_size(image)?;
        // The blobs of an artifact are all that there is of it.
        let disk = if image.artifact.is_some() { content } else { image.size + content };
        let used = if in_use.contains(&image.id) { "✔" } else { "" };
        let row = |name: String| vec![name, image.id.short(), human(disk), human(content), used.to_owned()];
        let mut names: Vec<String> =
            image.names.iter().filter(|name| is_wanted(Some(name))).map(Reference::familiar).collect();
        if names.is_empty() {
            names.push("<untagged>".to_owned());
        }
        for name in names {
            rows.push(row(name));
            let holds = image.artifact.clone().unwrap_or_else(|| image.config.platform.to_string());
            rows.push(row(format!("└─ {holds}")));
        }
    }
    table::print(&["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE"], &rows);
    Ok(0)
}
