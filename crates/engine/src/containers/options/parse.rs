//! The spellings of Docker's options. Pure, apart from those that name a file to read.

use std::path::{Path, PathBuf};

use monitor::restart::Policy;
use oci::runtime_spec::{DeviceRule, DeviceType, Rlimit, RlimitType, ThrottleDevice, TimeOffset, WeightDevice};
use stdx::size::parse_bytes;
use stdx::{Context, Error, Result};

use super::{Device, HOST_GATEWAY, Mount, MountKind, Namespace, Offset, Time, User};

mod networks;

pub use networks::{alias, expose, ipv4, ipv6, link_local, mac, networks, publish};

fn invalid(what: &str, text: &str, why: &str) -> Error {
    Error::invalid(format!("invalid {what} \"{text}\": {why}"))
}

/// `--pid`, `--ipc`, `--uts`, `--cgroupns`: `host`, `private`, `container:ID` …, as far as `kind` has them.
pub fn namespace(kind: &str, text: &str) -> Result<Namespace> {
    let container = text.strip_prefix("container:").filter(|_| matches!(kind, "pid" | "ipc"));
    match (text, container) {
        ("" | "private", _) => Ok(Namespace::Private),
        ("host", _) => Ok(Namespace::Host),
        ("shareable", _) if kind == "ipc" => Ok(Namespace::Shareable),
        ("none", _) if kind == "ipc" => Ok(Namespace::None),
        (_, Some(id)) if !id.is_empty() => Ok(Namespace::Container(id.into())),
        _ => Err(invalid(&format!("{kind} mode"), text, "see \"tare run --help\" for what it may be")),
    }
}

/// `--userns`.
pub fn user_namespace(text: &str) -> Result<User> {
    match text {
        "" | "host" => Ok(User::Host),
        "auto" => Ok(User::Auto),
        _ => Err(invalid("user namespace", text, "use host or auto")),
    }
}

/// `--time-offset boottime=±SECONDS[.FRACTION],monotonic=…|zero`; `zero` alone is both clocks.
pub fn time_offset(text: &str, time: &mut Time) -> Result<()> {
    if text == "zero" {
        (time.boottime, time.monotonic) = (Some(Offset::Zero), Some(Offset::Zero));
        return Ok(());
    }
    for part in text.split(',') {
        let (clock, value) = part.split_once('=').unwrap_or((part, ""));
        let offset = match value {
            "zero" => Offset::Zero,
            _ => Offset::By(
                seconds(value).ok_or_else(|| invalid("time offset", text, "a clock needs ±SECONDS or zero"))?,
            ),
        };
        match clock {
            "boottime" => time.boottime = Some(offset),
            "monotonic" => time.monotonic = Some(offset),
            _ => return Err(invalid("time offset", text, "the clocks are boottime and monotonic")),
        }
    }
    Ok(())
}

/// Seconds with up to nine decimals. The nanoseconds always count forward, as the kernel wants them.
fn seconds(text: &str) -> Option<TimeOffset> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > 9 {
        return None;
    }
    let secs: i64 = whole.parse().ok()?;
    let nanosecs: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(match (negative, nanosecs) {
        (false, _) => TimeOffset { secs, nanosecs },
        (true, 0) => TimeOffset { secs: -secs, nanosecs: 0 },
        (true, _) => TimeOffset { secs: -secs - 1, nanosecs: 1_000_000_000 - nanosecs },
    })
}

/// A size such as `32m`, in bytes.
pub fn bytes(option: &str, text: &str) -> Result<u64> {
    parse_bytes(text).ok_or_else(|| invalid(option, text, "a size is a number with b, k, m or g"))
}

/// A size, or -1 for "no limit".
pub fn bytes_or_unlimited(option: &str, text: &str) -> Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(bytes(option, text)?).map_err(|_| invalid(option, text, "it is too large"))
}

/// `--cpus`, in billionths of a CPU.
pub fn cpus(text: &str) -> Result<i64> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    let value = value.ok_or_else(|| invalid("number of CPUs", text, "it must be a number above 0"))?;
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if !(0.01..=available as f64).contains(&value) {
        return Err(invalid(
            "number of CPUs",
            text,
            &format!("the range of CPUs is from 0.01 to {available}.00, as many as there are"),
        ));
    }
    Ok((value * 1e9).round() as i64)
}

/// `--ulimit NAME=SOFT[:HARD]`, -1 for unlimited.
pub fn ulimit(text: &str) -> Result<Rlimit> {
    let why = |why: &str| invalid("ulimit", text, why);
    let (name, values) = text.split_once('=').ok_or_else(|| why("it must be NAME=SOFT[:HARD]"))?;
    let typ = rlimit_type(name).ok_or_else(|| why("there is no such limit"))?;
    let value = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text.parse::<u64>().map_err(|_| why("a value is a number or -1")),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let limit = Rlimit { typ, soft: value(soft)?, hard: value(hard)? };
    if limit.soft > limit.hard {
        return Err(why("the soft limit is above the hard one"));
    }
    Ok(limit)
}

fn rlimit_type(name: &str) -> Option<RlimitType> {
    Some(match name {
        "as" => RlimitType::As,
        "core" => RlimitType::Core,
        "cpu" => RlimitType::Cpu,
        "data" => RlimitType::Data,
        "fsize" => RlimitType::Fsize,
        "locks" => RlimitType::Locks,
        "memlock" => RlimitType::Memlock,
        "msgqueue" => RlimitType::Msgqueue,
        "nice" => RlimitType::Nice,
        "nofile" => RlimitType::Nofile,
        "nproc" => RlimitType::Nproc,
        "rss" => RlimitType::Rss,
        "rtprio" => RlimitType::Rtprio,
        "rttime" => RlimitType::Rttime,
        "sigpending" => RlimitType::Sigpending,
        "stack" => RlimitType::Stack,
        _ => return None,
    })
}

/// `--add-host NAME:ADDRESS` or `NAME=ADDRESS`.
pub fn extra_host(text: &str) -> Result<(String, String)> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = split.ok_or_else(|| invalid("host entry", text, "it must be NAME:ADDRESS"))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || name.contains(char::is_whitespace) || !is_address(address) {
        return Err(invalid("host entry", text, "the address is not an IP address"));
    }
    Ok((name.into(), address.into()))
}

fn is_address(text: &str) -> bool {
    text == HOST_GATEWAY || text.parse::<std::net::IpAddr>().is_ok()
}

/// `-e NAME=value`, or `-e NAME` for the value of our own environment. `None` if it has none.
pub fn env(text: &str) -> Result<Option<String>> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() {
        return Err(invalid("environment variable", text, "it has no name"));
    }
    if text.contains('=') {
        return Ok(Some(text.to_owned()));
    }
    Ok(std::env::var(text).ok().map(|value| format!("{text}={value}")))
}

/// `no`, `always`, `unless-stopped`, `on-failure[:NUMBER]`.
pub fn restart(text: &str) -> Result<Policy> {
    let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
    let bad = |why: &str| invalid("restart policy", text, why);
    match (name, number) {
        ("" | "no", None) => Ok(Policy::No),
        ("always", None) => Ok(Policy::Always),
        ("unless-stopped", None) => Ok(Policy::UnlessStopped),
        ("on-failure", number) => {
            let attempts = number.map_or(Ok(0), str::parse);
            Ok(Policy::OnFailure { attempts: attempts.map_err(|_| bad("the number of attempts is none"))? })
        }
        ("no" | "always" | "unless-stopped", Some(_)) => Err(bad("only on-failure takes a number of attempts")),
        _ => Err(bad("it is no, always, unless-stopped or on-failure[:NUMBER]")),
    }
}

/// The lines of an `--env-file` or a `--label-file`: `NAME=value`, `NAME`, `#` comments and empty ones.
pub fn lines_of(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {path:?}"))?;
    let text = text.trim_start_matches('\u{feff}');
    let entry = |line: &str| {
        let line = line.trim_start();
        (!line.is_empty() && !line.starts_with('#')).then(|| line.to_owned())
    };
    let lines: Vec<String> = text.lines().filter_map(entry).collect();
    for line in &lines {
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(invalid("line", line, &format!("a name in {path:?} may not be empty or hold a space")));
        }
    }
    Ok(lines)
}

/// `-v TARGET`, `-v NAME:TARGET[:OPTIONS]`, `-v SOURCE:TARGET[:OPTIONS]`: an anonymous volume, one with a name, and a
/// directory or file of the host, which begins with `/` or `.`.
pub fn volume(text: &str) -> Result<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        // `TARGET:ro` too would be a name otherwise, which "/…" is none of.
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(invalid("volume", text, "it has too many parts")),
    };
    if !target.starts_with('/') {
        return Err(invalid("volume", text, "the target must be an absolute path"));
    }
    let (mut read_only, mut recursive, mut nocopy) = (false, true, false);
    let mut propagation = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => {}
            "nocopy" => nocopy = true,
            // SELinux labels: without effect where there is no SELinux, as in Docker.
            "z" | "Z" => {}
            "bind" => recursive = false,
            "rbind" => recursive = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => propagation = Some(option.to_owned()),
            _ => return Err(invalid("volume", text, &format!("unknown option \"{option}\""))),
        }
    }
    let kind = match source {
        None => MountKind::Volume { name: None, anonymous: true, nocopy },
        Some("") => return Err(invalid("volume", text, "the source is empty")),
        Some(source) if source.starts_with(['/', '.']) => {
            let source = std::path::absolute(source).context(|| format!("cannot use directory {source:?}"))?;
            MountKind::Bind { source, create: true, recursive, propagation }
        }
        Some(name) => {
            crate::volumes::check_name(name)?;
            MountKind::Volume { name: Some(name.into()), anonymous: false, nocopy }
        }
    };
    Ok(Mount { target: target.into(), kind, read_only })
}

/// `--mount type=bind,source=…,target=…[,readonly]` and `type=tmpfs`.
pub fn mount(text: &str) -> Result<Mount> {
    let why = |why: &str| invalid("mount", text, why);
    let (mut kind, mut source, mut target) = ("volume", None, None);
    let (mut read_only, mut recursive, mut propagation) = (false, true, None);
    let mut nocopy = false;
    let mut options = Vec::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let flag = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(why(&format!("\"{key}\" is true or false"))),
        };
        let needed = || value.filter(|value| !value.is_empty()).ok_or_else(|| why(&format!("\"{key}\" needs a value")));
        match key {
            "type" => kind = needed()?,
            "source" | "src" => source = Some(needed()?),
            "target" | "destination" | "dst" => target = Some(needed()?),
            "readonly" | "ro" => read_only = flag()?,
            "bind-propagation" => propagation = Some(needed()?.to_owned()),
            "bind-nonrecursive" => recursive = !flag()?,
            "bind-recursive" => recursive = needed()? != "disabled",
            "volume-nocopy" => nocopy = flag()?,
            "volume-subpath" => return Err(Error::unsupported("mount field \"volume-subpath\" is not supported yet")),
            "volume-driver" if value == Some("local") => {}
            "tmpfs-size" => options.push(format!("size={}", bytes("tmpfs-size", needed()?)?)),
            "tmpfs-mode" => options.push(format!("mode={}", needed()?)),
            "tmpfs-options" => options.extend(needed()?.split(':').map(str::to_owned)),
            _ => return Err(why(&format!("unknown field \"{key}\""))),
        }
    }
    let target = target.ok_or_else(|| why("the target is missing"))?;
    if !target.starts_with('/') {
        return Err(why("the target must be an absolute path"));
    }
    let kind = match kind {
        "bind" => {
            let source = source.ok_or_else(|| why("the source is missing"))?;
            let source = std::path::absolute(source).context(|| format!("cannot use {source:?}"))?;
            MountKind::Bind { source, create: false, recursive, propagation }
        }
        "tmpfs" if source.is_some() => return Err(why("a tmpfs has no source")),
        "tmpfs" => MountKind::Tmpfs { options },
        "volume" => {
            let name = source.map(str::to_owned);
            name.as_deref().map_or(Ok(()), crate::volumes::check_name)?;
            MountKind::Volume { anonymous: name.is_none(), name, nocopy }
        }
        other => return Err(why(&format!("unknown type \"{other}\""))),
    };
    Ok(Mount { target: target.into(), kind, read_only })
}

/// `--tmpfs TARGET[:OPTIONS]`.
pub fn tmpfs(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err(invalid("tmpfs", text, "the target must be an absolute path"));
    }
    let options: Vec<String> = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    let read_only = options.iter().any(|option| option == "ro");
    Ok(Mount { target: target.into(), kind: MountKind::Tmpfs { options }, read_only })
}

/// `--device SOURCE[:TARGET][:ACCESS]`.
pub fn device(text: &str) -> Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_access = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let (source, target, access) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, access] if is_access(access) => (source, source, access),
        [source, target] => (source, target, "rwm"),
        [source, target, access] if is_access(access) => (source, target, access),
        _ => return Err(invalid("device", text, "it must be SOURCE[:TARGET][:rwm]")),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err(invalid("device", text, "the paths must be absolute"));
    }
    Ok(Device { source: PathBuf::from(source), target: target.into(), access: access.into() })
}

/// `--device-cgroup-rule 'c 42:* rmw'`.
pub fn device_rule(text: &str) -> Result<DeviceRule> {
    let why = || invalid("device cgroup rule", text, "it must be \"TYPE MAJOR:MINOR ACCESS\", as in \"c 42:* rmw\"");
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [kind, numbers, access] = fields[..] else { return Err(why()) };
    let typ = match kind {
        "a" => DeviceType::All,
        "b" => DeviceType::Block,
        "c" => DeviceType::Char,
        _ => return Err(why()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(why)?;
    let number = |text: &str| {
        if text == "*" { Ok(None) } else { text.parse::<u32>().map(|n| Some(n.into())).map_err(|_| why()) }
    };
    if access.is_empty() || access.len() > 3 || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(why());
    }
    Ok(DeviceRule { allow: true, typ: Some(typ), major: number(major)?, minor: number(minor)?, access: access.into() })
}

/// `--device-read-bps PATH:RATE` and its like; `size`: the rate may have a unit.
pub fn throttle(option: &str, text: &str, size: bool) -> Result<ThrottleDevice> {
    let (path, rate) = text.rsplit_once(':').ok_or_else(|| invalid(option, text, "it must be DEVICE:RATE"))?;
    let rate = if size { parse_bytes(rate) } else { rate.parse().ok() };
    let rate = rate.ok_or_else(|| invalid(option, text, "the rate is not a number"))?;
    let (major, minor) = block_device(option, path)?;
    Ok(ThrottleDevice { major, minor, rate })
}

/// `--blkio-weight-device PATH:WEIGHT`.
pub fn weight_device(text: &str) -> Result<WeightDevice> {
    let option = "blkio-weight-device";
    let (path, weight) = text.rsplit_once(':').ok_or_else(|| invalid(option, text, "it must be DEVICE:WEIGHT"))?;
    let weight = weight.parse().ok().filter(|weight| (10..=1000).contains(weight));
    let weight = weight.ok_or_else(|| invalid(option, text, "the weight must be between 10 and 1000"))?;
    let (major, minor) = block_device(option, path)?;
    Ok(WeightDevice { major, minor, weight: Some(weight), leaf_weight: None })
}

fn block_device(option: &str, path: &str) -> Result<(i64, i64)> {
    use rustix::fs::{FileType, major, minor, stat};
    let stat = stat(path).context(|| format!("cannot use device \"{path}\" for {option}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
        return Err(invalid(option, path, "it is not a block device"));
    }
    Ok((major(stat.st_rdev).into(), minor(stat.st_rdev).into()))
}

#[cfg(test)]
mod tests;
