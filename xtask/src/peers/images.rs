//! Images between engines: what tare pushes and saves is read by skopeo, umoci, podman and docker, and what they make is
//! read by tare. After each step the image has the id it had, and a file tree that is the same in every attribute.
//!
//! Everything happens in a network namespace of its own, with a registry and a Docker daemon in it.

mod engine;
mod source;
mod tree;
mod world;

use std::path::PathBuf;

use stdx::Result;

use super::Lane;
use crate::build::{self, Profile};
use crate::debian;
use engine::Engine;
use tree::Tree;
use world::World;

const PACKAGES: [&str; 12] = [
    "podman",
    "skopeo",
    "umoci",
    "docker.io",
    "docker-registry",
    "runc",
    "conmon",
    "iproute2",
    "attr",
    "libcap2-bin",
    "busybox-static",
    "tar",
];

/// One image on one way.
struct Step {
    maker: &'static str,
    way: String,
    reader: &'static str,
    id: Sameness,
    tree: Sameness,
}

/// How two things compare.
enum Sameness {
    Same,
    /// The first few differences.
    Different(Vec<String>),
    /// The reader has none, or it did not come so far.
    None(String),
}

/// Every way, one after the other; prints the table.
pub(super) fn run(lane: &Lane) -> Result<()> {
    debian::install(&PACKAGES)?;
    world::unmount_below(&lane.dir.join("images"));
    let world = World::start(&lane.fresh("images")?, build::tare(Profile::Release)?)?;
    let source = source::make(&world.dir.join("source"))?;
    let archive = source::archive(&source, &world.dir.join("source.tar"))?;
    let mut run = Run { world: &world, steps: Vec::new(), number: 0 };
    let disk = Tree::read(&source)?;
    run.made_by_tare(&archive, &disk)?;
    run.made_by(Engine::Podman, &archive)?;
    run.made_by(Engine::Docker, &archive)?;
    run.made_by_umoci(&source)?;
    print(&run.steps);
    Ok(())
}

struct Run<'a> {
    world: &'a World,
    steps: Vec<Step>,
    number: usize,
}

impl Run<'_> {
    /// What tare makes: of a directory on disk, and of a container that changed a good deal.
    fn made_by_tare(&mut self, archive: &str, disk: &Tree) -> Result<()> {
        let tare = Engine::Tare;
        tare.run(self.world, &["import", archive, "base:1"])?;
        let base = tare.tree(self.world, "base:1")?;
        self.steps.push(Step {
            maker: "disk",
            way: "import".into(),
            reader: "tare",
            id: none(),
            tree: disk.compare(&base),
        });
        tare.run(self.world, &["run", "--network=none", "--name=made", "base:1", "/bin/sh", "-c", source::CHANGES])?;
        tare.run(self.world, &["commit", "made", "made:1"])?;
        let (id, tree) = (tare.id(self.world, "made:1")?, tare.tree(self.world, "made:1")?);
        let name = self.pushed(tare, "made:1", &[])?;
        for reader in [Engine::Podman, Engine::Docker] {
            self.read(tare, "push, pull", reader, &id, &tree, |world| reader.pull(world, &name))?;
        }
        self.skopeo(tare, "push, copy", &id, &tree, &format!("docker://{name}"))?;
        let saved = self.file("docker.tar");
        tare.run(self.world, &["save", "-o", &saved, "made:1"])?;
        for reader in [Engine::Podman, Engine::Docker] {
            self.read(tare, "save, load", reader, &id, &tree, |world| reader.load(world, &saved))?;
        }
        self.skopeo(tare, "save, copy", &id, &tree, &format!("docker-archive:{saved}"))?;
        let saved = self.file("oci.tar");
        tare.run(self.world, &["save", "--format=oci", "-o", &saved, "made:1"])?;
        self.read(tare, "save --format oci, load", Engine::Podman, &id, &tree, |world| {
            Engine::Podman.load(world, &saved)
        })?;
        self.skopeo(tare, "save --format oci, copy", &id, &tree, &format!("oci-archive:{saved}"))?;
        self.sent_on(&name, &id, &tree)
    }

    /// What podman, docker and skopeo send on of it, in every form they have, comes back to tare as it was.
    fn sent_on(&mut self, name: &str, id: &str, tree: &Tree) -> Result<()> {
        let world = self.world;
        for (how, arguments) in [
            ("push --format oci", &["--format=oci"][..]),
            ("push --format v2s2", &["--format=v2s2"]),
            ("push --compression-format zstd", &["--format=oci", "--compression-format=zstd"]),
        ] {
            Engine::Podman.pull(world, name)?;
            let pushed = self.pushed(Engine::Podman, name, arguments)?;
            self.read(Engine::Podman, how, Engine::Tare, id, tree, |world| Engine::Tare.pull(world, &pushed))?;
        }
        Engine::Docker.pull(world, name)?;
        let pushed = self.pushed(Engine::Docker, name, &[])?;
        self.read(Engine::Docker, "push", Engine::Tare, id, tree, |world| Engine::Tare.pull(world, &pushed))?;
        for (engine, format) in [
            (Engine::Podman, "--format=docker-archive"),
            (Engine::Podman, "--format=oci-archive"),
            (Engine::Docker, ""),
        ] {
            let saved = self.file("saved.tar");
            let arguments: Vec<&str> =
                ["save", "-o", &saved].into_iter().chain(Some(format).filter(|f| !f.is_empty())).collect();
            engine.run(world, &[&arguments[..], &[name]].concat())?;
            let how = format!("save {format}");
            self.read(engine, how.trim_end(), Engine::Tare, id, tree, |world| Engine::Tare.load(world, &saved))?;
        }
        for (how, more) in [
            ("copy --dest-compress-format zstd", &["--dest-compress", "--dest-compress-format=zstd"][..]),
            ("copy --format v2s2", &["--format=v2s2"]),
        ] {
            let to = self.name();
            world.skopeo(&format!("docker://{name}"), &format!("docker://{to}"), more)?;
            self.read(Engine::Skopeo, how, Engine::Tare, id, tree, |world| Engine::Tare.pull(world, &to))?;
        }
        for kind in ["docker-archive", "oci-archive"] {
            let file = self.file("copied.tar");
            world.skopeo(&format!("docker://{name}"), &format!("{kind}:{file}:copied:1"), &[])?;
            let how = format!("copy {kind}");
            self.read(Engine::Skopeo, &how, Engine::Tare, id, tree, |world| Engine::Tare.load(world, &file))?;
        }
        // Layers without any compression.
        let layout = self.file("plain");
        world.skopeo(&format!("docker://{name}"), &format!("dir:{layout}"), &["--dest-decompress"])?;
        let to = self.name();
        world.skopeo(&format!("dir:{layout}"), &format!("docker://{to}"), &["--dest-compress=false"])?;
        self.read(Engine::Skopeo, "copy --dest-decompress", Engine::Tare, id, tree, |world| {
            Engine::Tare.pull(world, &to)
        })
    }

    /// What another engine makes of the same directory.
    fn made_by(&mut self, maker: Engine, archive: &str) -> Result<()> {
        maker.run(self.world, &["import", archive, "own:1"])?;
        let (id, tree) = (maker.id(self.world, "own:1")?, maker.tree(self.world, "own:1")?);
        let pushed = self.pushed(maker, "own:1", &[])?;
        self.read(maker, "import, push", Engine::Tare, &id, &tree, |world| Engine::Tare.pull(world, &pushed))?;
        let saved = self.file("own.tar");
        maker.run(self.world, &["save", "-o", &saved, "own:1"])?;
        self.read(maker, "import, save", Engine::Tare, &id, &tree, |world| Engine::Tare.load(world, &saved))
    }

    /// Layers that umoci makes, with its whiteouts.
    fn made_by_umoci(&mut self, source: &std::path::Path) -> Result<()> {
        let (layout, bundle) = (self.file("umoci"), self.file("bundle"));
        let script = format!(
            "umoci init --layout {layout} && umoci new --image {layout}:a && umoci unpack --image {layout}:a {bundle} \
            && cp -a {source}/. {bundle}/rootfs/ && umoci repack --image {layout}:a {bundle} \
            && cd {bundle}/rootfs && {changes} && umoci repack --refresh-bundle --image {layout}:a {bundle}",
            source = source.display(),
            changes = source::CHANGES_OUTSIDE
        );
        self.world.shell(&script)?;
        // Its layers have times in whole seconds: what counts is what comes out of them.
        let again = self.file("bundle");
        self.world.shell(&format!("umoci unpack --image {layout}:a {again}"))?;
        let tree = Tree::read(&PathBuf::from(&again).join("rootfs"))?;
        let to = self.name();
        self.world.skopeo(&format!("oci:{layout}:a"), &format!("docker://{to}"), &[])?;
        let id = self.world.config_of(&format!("docker://{to}"))?;
        self.read(Engine::Umoci, "repack", Engine::Tare, &id, &tree, |world| Engine::Tare.pull(world, &to))
    }

    /// Has an engine bring an image in, and compares.
    fn read(
        &mut self,
        maker: Engine,
        way: &str,
        reader: Engine,
        id: &str,
        tree: &Tree,
        bring: impl FnOnce(&World) -> Result<String>,
    ) -> Result<()> {
        eprintln!("{} {way}: {}", maker.name(), reader.name());
        reader.forget(self.world)?;
        let (own, found) = match bring(self.world) {
            Ok(name) => {
                let mut found = reader.tree(self.world, &name)?;
                // The root directory itself is these engines' own, whatever the layers say of it.
                if [maker, reader].iter().any(|engine| matches!(engine, Engine::Podman | Engine::Docker)) {
                    found.take_root_of(tree);
                }
                (compare_ids(id, &reader.id(self.world, &name)?), tree.compare(&found))
            }
            Err(error) => (Sameness::None(error.to_string()), Sameness::None("".into())),
        };
        self.steps.push(Step { maker: maker.name(), way: way.into(), reader: reader.name(), id: own, tree: found });
        Ok(())
    }

    /// skopeo brings an image into a layout, and umoci unpacks it.
    fn skopeo(&mut self, maker: Engine, way: &str, id: &str, tree: &Tree, from: &str) -> Result<()> {
        eprintln!("{} {way}: skopeo, umoci", maker.name());
        let (layout, bundle) = (self.file("layout"), self.file("bundle"));
        self.world.skopeo(from, &format!("oci:{layout}:a"), &[])?;
        // An archive of Docker's form gets another configuration when skopeo makes an OCI layout of it.
        let copied = format!("oci:{layout}:a");
        let described = if from.starts_with("docker-archive:") { from } else { &copied };
        let own = compare_ids(id, &self.world.config_of(described)?);
        self.steps.push(Step { maker: maker.name(), way: way.into(), reader: "skopeo", id: own, tree: none() });
        self.world.shell(&format!("umoci unpack --image {layout}:a {bundle}"))?;
        let found = tree.compare(&Tree::read(&PathBuf::from(bundle).join("rootfs"))?);
        self.steps.push(Step { maker: maker.name(), way: way.into(), reader: "umoci", id: none(), tree: found });
        Ok(())
    }

    fn pushed(&mut self, engine: Engine, image: &str, arguments: &[&str]) -> Result<String> {
        let name = self.name();
        engine.push(self.world, image, &name, arguments)?;
        Ok(name)
    }

    /// A repository that nobody has used, so nothing is shared by accident.
    fn name(&mut self) -> String {
        self.number += 1;
        format!("{}/image-{}:1", world::REGISTRY, self.number)
    }

    fn file(&mut self, name: &str) -> String {
        self.number += 1;
        self.world.dir.join(format!("{}-{name}", self.number)).display().to_string()
    }
}

fn none() -> Sameness {
    Sameness::None("–".into())
}

fn compare_ids(expected: &str, found: &str) -> Sameness {
    if expected == found { Sameness::Same } else { Sameness::Different(vec![format!("{found} instead of {expected}")]) }
}

impl Sameness {
    fn word(&self) -> String {
        match self {
            Self::Same => "same".into(),
            Self::Different(list) => format!("{} differ", list.len()),
            Self::None(why) => why.clone(),
        }
    }
}

fn print(steps: &[Step]) {
    println!("| made or sent by | how | read by | image id | file tree |\n|---|---|---|---|---|");
    for Step { maker, way, reader, id, tree } in steps {
        println!("| {maker} | {way} | {reader} | {} | {} |", id.word(), tree.word());
    }
    for Step { maker, way, reader, id, tree } in steps {
        for different in [id, tree] {
            if let Sameness::Different(list) = different {
                println!("\n{maker}, {way}, {reader}:");
                list.iter().take(12).for_each(|line| println!("  {line}"));
            }
        }
    }
}
