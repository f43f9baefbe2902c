//! `RUN --mount=…`.

use crate::error::suggestion;

/// What is mounted while a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory kept between builds.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret as a file or as a variable.
    Secret,
    /// The agent's socket.
    Ssh,
}

/// A mount of a RUN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The option as written; with variables in it the fields below are empty until it is expanded and read again.
    pub text: String,
    /// `type`.
    pub kind: MountKind,
    /// `target`, `dst`, `destination`.
    pub target: Option<String>,
    /// `source`, `src`.
    pub source: Option<String>,
    /// `from`.
    pub from: Option<String>,
    /// `id`.
    pub id: Option<String>,
    /// `env` of a secret.
    pub env: Option<String>,
    /// `ro`, `readonly`, or `rw` and `readwrite` turned round.
    pub read_only: Option<bool>,
    /// `required`.
    pub required: bool,
    /// `sharing` of a cache: `shared`, `private` or `locked`.
    pub sharing: Option<String>,
    /// `size` of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// `mode`, from octal.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

const KEYS: [&str; 20] = [
    "type",
    "target",
    "dst",
    "destination",
    "source",
    "src",
    "from",
    "id",
    "env",
    "ro",
    "readonly",
    "rw",
    "readwrite",
    "required",
    "sharing",
    "size",
    "mode",
    "uid",
    "gid",
    "readonly",
];

impl Mount {
    /// Reads the value of `--mount`. Text with variables is kept and not looked into.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut mount = Self { text: text.to_owned(), ..Self::default() };
        if text.contains('$') {
            return Ok(mount);
        }
        for field in text.split(',') {
            let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
            mount.set(&key.to_ascii_lowercase(), value)?;
        }
        mount.check()?;
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        match key {
            "ro" | "readonly" => self.read_only = Some(flag(key, value)?),
            "rw" | "readwrite" => self.read_only = Some(!flag(key, value)?),
            "required" => self.required = flag(key, value)?,
            _ if !KEYS.contains(&key) => {
                return Err(format!("unexpected key '{key}' in '--mount'{}", suggestion(key, &KEYS)));
            }
            _ => {
                let value = value.ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"))?;
                self.set_value(key, value)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str) -> Result<(), String> {
        let invalid = || format!("invalid value for {key}: {value}");
        match key {
            "type" => self.kind = kind(value)?,
            "target" | "dst" | "destination" => self.target = Some(value.to_owned()),
            "source" | "src" => self.source = Some(value.to_owned()),
            "from" => self.from = Some(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            "env" => self.env = Some(value.to_owned()),
            "sharing" => {
                let known = matches!(value, "shared" | "private" | "locked");
                self.sharing = Some(known.then(|| value.to_owned()).ok_or_else(invalid)?);
            }
            "size" => self.size = Some(bytes(value).ok_or_else(invalid)?),
            "mode" => self.mode = Some(u32::from_str_radix(value, 8).map_err(|_| invalid())?),
            "uid" => self.uid = Some(value.parse().map_err(|_| invalid())?),
            _ => self.gid = Some(value.parse().map_err(|_| invalid())?),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let owned = matches!(self.kind, MountKind::Cache | MountKind::Secret | MountKind::Ssh);
        let wrong = [
            (self.sharing.is_some() && self.kind != MountKind::Cache, "sharing"),
            (self.size.is_some() && self.kind != MountKind::Tmpfs, "size"),
            (self.env.is_some() && self.kind != MountKind::Secret, "env"),
            (self.required && !matches!(self.kind, MountKind::Secret | MountKind::Ssh), "required"),
            (self.mode.is_some() && !owned, "mode"),
            (self.uid.is_some() && !owned, "uid"),
            (self.gid.is_some() && !owned, "gid"),
            (self.from.is_some() && !matches!(self.kind, MountKind::Bind | MountKind::Cache), "from"),
        ];
        if let Some((_, key)) = wrong.iter().find(|(wrong, _)| *wrong) {
            return Err(format!("unexpected key '{key}' for mount type '{}'", self.kind.name()));
        }
        let needs_target = matches!(self.kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
        match &self.target {
            None if needs_target => Err("missing required mount option: target".to_owned()),
            _ => Ok(()),
        }
    }
}

impl MountKind {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

fn kind(value: &str) -> Result<MountKind, String> {
    let all = [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    let found = all.into_iter().find(|kind| value.eq_ignore_ascii_case(kind.name()));
    found.ok_or_else(|| format!("unsupported mount type {value:?}{}", suggestion(value, &all.map(MountKind::name))))
}

fn flag(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => Err(format!("invalid value for {key}: {value}")),
    }
}

/// A size in bytes with an optional binary unit: `64m`, `1GiB`.
fn bytes(value: &str) -> Option<u64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let shift = match value[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    value[..digits].parse::<u64>().ok()?.checked_mul(1 << shift)
}
