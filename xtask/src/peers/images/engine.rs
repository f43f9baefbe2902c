//! The engines, and how each does what all can do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stdx::{Context, Error, Kind, Result};

use super::tree::Tree;
use super::world::World;
use crate::command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Tare,
    Podman,
    Docker,
    /// These two only make and send.
    Skopeo,
    Umoci,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tare => "tare",
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Skopeo => "skopeo",
            Self::Umoci => "umoci",
        }
    }

    fn command(self, world: &World) -> Command {
        let dir = |name: &str| world.dir.join(name);
        match self {
            Self::Docker => world.docker(),
            Self::Podman => {
                let mut podman = world.command("podman");
                podman.arg("--root").arg(dir("podman")).arg("--runroot").arg(dir("podman-run"));
                podman.args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs", "--events-backend=file"]);
                podman
            }
            _ => {
                let mut tare = world.command(&world.tare);
                tare.arg("--root").arg(dir("tare")).arg("--run-root").arg(dir("tare-run"));
                tare
            }
        }
    }

    pub(super) fn run(self, world: &World, arguments: &[&str]) -> Result<()> {
        command::run(self.command(world).args(arguments).stdout(Stdio::null()))
    }

    fn output(self, world: &World, arguments: &[&str]) -> Result<String> {
        command::output(self.command(world).args(arguments)).map(|text| text.trim().to_owned())
    }

    pub(super) fn push(self, world: &World, image: &str, name: &str, arguments: &[&str]) -> Result<()> {
        self.run(world, &["tag", image, name])?;
        let tls: &[&str] = if self == Self::Podman { &["--tls-verify=false"] } else { &[] };
        self.run(world, &[&["push", "-q"], tls, arguments, &[name]].concat())
    }

    /// The name it has then.
    pub(super) fn pull(self, world: &World, name: &str) -> Result<String> {
        let tls: &[&str] = if self == Self::Podman { &["--tls-verify=false"] } else { &[] };
        self.run(world, &[&["pull", "-q"], tls, &[name]].concat()).map(|()| name.to_owned())
    }

    /// The name or id it has then.
    pub(super) fn load(self, world: &World, file: &str) -> Result<String> {
        self.run(world, &["load", "-q", "-i", file])?;
        let ids = self.output(world, &["images", "-q", "--no-trunc"])?;
        let first = ids.lines().next().map(str::to_owned);
        first.ok_or_else(|| Error::new(Kind::Internal, "nothing was loaded"))
    }

    /// `sha256:HEX`.
    pub(super) fn id(self, world: &World, name: &str) -> Result<String> {
        let id = self.output(world, &["image", "inspect", "--format={{.Id}}", name])?;
        Ok(if id.starts_with("sha256:") { id } else { format!("sha256:{id}") })
    }

    /// Forgets all images, so that nothing is shared by accident. Containers of tare keep theirs.
    pub(super) fn forget(self, world: &World) -> Result<()> {
        let all: &[&str] = match self {
            Self::Tare => &["system", "prune", "-a", "-f"],
            Self::Podman | Self::Docker => &["image", "prune", "-a", "-f"],
            _ => return Ok(()),
        };
        self.run(world, all)
    }

    /// What a container of the image would see.
    pub(super) fn tree(self, world: &World, name: &str) -> Result<Tree> {
        if self == Self::Podman {
            let root = self.output(world, &["image", "mount", name])?;
            let tree = Tree::read(Path::new(&root));
            self.run(world, &["image", "unmount", name])?;
            return tree;
        }
        let text = self.output(world, &["image", "inspect", name])?;
        let inspected: Value = serde_json::from_str(&text).context(|| "cannot read what inspect says".into())?;
        let data = &inspected[0]["GraphDriver"]["Data"];
        let upper = data["UpperDir"].as_str().unwrap_or_default();
        match data["LowerDir"].as_str() {
            None => Tree::read(Path::new(upper)),
            Some(lower) => mounted(&world.dir.join("mounted"), &format!("{upper}:{lower}")),
        }
    }
}

fn mounted(place: &PathBuf, layers: &str) -> Result<Tree> {
    std::fs::create_dir_all(place).context(|| format!("cannot make {place:?}"))?;
    command::run(
        Command::new("mount").args(["-t", "overlay", "-o", &format!("ro,lowerdir={layers}"), "overlay"]).arg(place),
    )?;
    let tree = Tree::read(place);
    command::run(Command::new("umount").arg(place))?;
    tree
}
