//! The facts of [`engine::containers::explain`] in sentences. Those about a container that does not run say what would be.

use engine::containers::explain::{
    Explanation, FileOrigin, Group, Layer, Limit, Mounted, Namespace, Role, Unit, Whose,
};
use stdx::size::{human, human_binary};

/// Columns of the text.
const WIDTH: usize = 100;

/// The whole text.
pub(crate) fn text(explained: &Explanation) -> String {
    let mut text = String::new();
    introduction(explained, &mut text);
    section(&mut text, "Namespaces: what it sees", namespaces(explained));
    section(&mut text, "Control groups: what it may use", groups(explained));
    section(&mut text, "Root: the layers of its files, from the bottom to the top", layers(explained));
    section(&mut text, "Mounts: what else is in its tree", explained.mounts.iter().map(mount).collect());
    section(&mut text, "Capabilities: what its root may do", capabilities(explained));
    section(&mut text, "System calls: what it may ask of the kernel", filter(explained));
    section(&mut text, "Processes: as this machine sees them", processes(explained));
    if !explained.notes.is_empty() {
        section(&mut text, "Notes", explained.notes.clone());
    }
    text
}

fn introduction(explained: &Explanation, text: &mut String) {
    let command = explained.command.join(" ");
    let user = if explained.user.is_empty() { "root" } else { &explained.user };
    let name = &explained.name;
    text.push_str(&match explained.pid {
        Some(pid) => format!(
            "Container {name} ({}) is process {pid} of this machine, \"{command}\", as user {user}.\nIts image is {}. What makes the process a container:\n",
            &explained.id[..12], explained.image
        ),
        None => format!(
            "Container {name} does not run. It would run \"{command}\" as user {user}, from image {}.\nWhat would make the process a container:\n",
            explained.image
        ),
    });
}

fn section(text: &mut String, title: &str, lines: Vec<String>) {
    text.push_str(&format!("\n{title}\n"));
    for line in lines {
        wrap(text, &line);
    }
}

/// A line with its indentation, broken between words; a long path is not worth a break.
fn wrap(text: &mut String, line: &str) {
    let mut width = 0;
    for word in line.replace('\n', "\\n").split(' ') {
        let long = word.chars().count();
        if width > 0 && width + 1 + long > WIDTH && long < WIDTH / 2 {
            text.push_str("\n     ");
            width = 5;
        }
        text.push_str(if width == 0 { "  " } else { " " });
        text.push_str(word);
        width += long + if width == 0 { 2 } else { 1 };
    }
    text.push('\n');
}

fn namespaces(explained: &Explanation) -> Vec<String> {
    let line = |namespace: &Namespace| {
        let what = match namespace.kind {
            "mnt" => "the mounted filesystems",
            "pid" => "the processes",
            "net" => "the network interfaces, addresses and ports",
            "ipc" => "shared memory and message queues",
            "uts" => "the host name",
            "cgroup" => "the control groups",
            "time" => "the clocks since the start",
            _ => "the users: who is root, and where",
        };
        let number = |inode: Option<u64>| inode.map_or_else(|| "not there yet".into(), |inode| inode.to_string());
        let (own, host) = (number(namespace.inode), number(namespace.host_inode));
        match namespace.whose {
            Whose::Own => format!("{:6} its own ({own}; the host's is {host}): {what}", namespace.kind),
            Whose::Shared => format!("{:6} another container's ({own}; the host's is {host}): {what}", namespace.kind),
            Whose::Host => format!("{:6} the host's ({host}): {what}", namespace.kind),
        }
    };
    explained.namespaces.iter().map(line).collect()
}

fn groups(explained: &Explanation) -> Vec<String> {
    let lines = |group: &Group| {
        let controllers = if group.controllers.is_empty() { "all" } else { &group.controllers };
        let limits = group.limits.iter().map(|limit| format!("  {}", self::limit(limit)));
        std::iter::once(format!("{controllers}: {}", group.path.display())).chain(limits).collect::<Vec<_>>()
    };
    explained.cgroups.iter().flat_map(lines).collect()
}

fn limit(limit: &Limit) -> String {
    let size = |text: &String| match (limit.unit, text.parse::<u64>()) {
        (Unit::Bytes, Ok(bytes)) => human_binary(bytes),
        _ => text.clone(),
    };
    let most = limit.limit.as_ref().map(|most| match (limit.unit, most.split_once(' ')) {
        (Unit::CpuTime, Some((quota, period))) => match (quota.parse::<f64>(), period.parse::<f64>()) {
            (Ok(quota), Ok(period)) if period > 0.0 => format!("{} CPUs", quota / period),
            _ => most.clone(),
        },
        _ => size(most),
    });
    let used = limit.used.as_ref().map(|used| match (limit.unit, used.parse::<f64>()) {
        (Unit::CpuTime, Ok(microseconds)) => format!("{:.2} s", microseconds / 1e6),
        _ => size(used),
    });
    let what = limit.what;
    match (most, used) {
        (Some(most), Some(used)) => format!("{what}: at most {most}, now {used}"),
        (Some(most), None) if limit.unit == Unit::Text => format!("{what}: {most}"),
        (Some(most), None) => format!("{what}: at most {most}"),
        (None, Some(used)) => format!("{what}: not limited, now {used}"),
        (None, None) => format!("{what}: not limited"),
    }
}

fn layers(explained: &Explanation) -> Vec<String> {
    let line = |(number, layer): (usize, &Layer)| {
        let role = match layer.role {
            Role::Image => "of the image, read-only",
            Role::Init => "mount points that tare needs, read-only, in no image",
            Role::Writable if explained.read_only => "the container's own, and read-only as asked",
            Role::Writable => "the container's own: what it writes is here, and nothing is when it is removed",
        };
        let size = layer.size.map_or_else(|| "the host's own files".into(), human);
        let digest = layer.diff_id.as_ref().map(|digest| format!(", {digest}")).unwrap_or_default();
        format!("{number}. {role}: {size} in {}{digest}", layer.directory.display())
    };
    explained.layers.iter().enumerate().map(line).chain(explained.file.as_ref().map(file)).collect()
}

fn file(origin: &FileOrigin) -> String {
    let path = origin.path.display();
    if let Some(mount) = &origin.mount {
        return format!("{path} is in what is mounted on {mount}, not in a layer");
    }
    let numbers: Vec<String> = origin.hidden_in.iter().map(ToString::to_string).collect();
    let hidden = if numbers.is_empty() {
        String::new()
    } else {
        format!(", and hides what is there in layer {}", numbers.join(", "))
    };
    match (origin.layer, origin.deleted_in) {
        (_, Some(deleted)) => format!("{path} was deleted in layer {deleted}{hidden}"),
        (Some(layer), _) => format!("{path} comes from layer {layer}{hidden}"),
        (None, None) => format!("{path} is in no layer"),
    }
}

fn mount(mounted: &Mounted) -> String {
    let Mounted { target, kind, source, options, volume, asked, live } = mounted;
    let what = match (volume, kind.as_str()) {
        (Some(volume), _) => format!("volume {volume}, {source} of the host"),
        (None, "bind") => format!("{source} of the host"),
        (None, "tmpfs") => "memory".into(),
        (None, kind) => format!("the kernel's {kind}"),
    };
    let read_only = match live {
        Some(live) => live.split(',').any(|option| option == "ro"),
        None => options.iter().any(|option| option == "ro" || option == "rro"),
    };
    let access = if read_only { ", read-only" } else { "" };
    let whose = if *asked { "" } else { " (tare's)" };
    format!("{target}: {what}{access}{whose}")
}

fn capabilities(explained: &Explanation) -> Vec<String> {
    let list = |names: &[&str]| {
        let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches("CAP_")).collect();
        if names.is_empty() { "none".into() } else { names.join(" ") }
    };
    let privileges = if explained.no_new_privileges { "No program can give it more (no_new_privs)." } else { "" };
    let lines = [
        format!("kept: {}", list(&explained.capabilities.kept)),
        format!("dropped: {}", list(&explained.capabilities.dropped)),
        privileges.to_owned(),
    ];
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn filter(explained: &Explanation) -> Vec<String> {
    let filter = &explained.seccomp;
    let loaded = match filter.loaded {
        Some(true) => " The kernel has it loaded.",
        Some(false) => " The kernel has no filter loaded.",
        None => "",
    };
    let mut lines = match filter.profile {
        "unconfined" => vec![format!("No filter: it may make every system call.{loaded}")],
        profile => vec![
            format!(
                "The {} refuses {} system calls, and {} more depending on their arguments.{loaded}",
                if profile == "default" { "default filter" } else { "profile it was given" },
                filter.refused.len(),
                filter.refused_sometimes.len()
            ),
            format!("refused: {}", filter.refused.join(" ")),
            format!("depending on their arguments: {}", filter.refused_sometimes.join(" ")),
        ],
    };
    if !explained.masked_paths.is_empty() {
        lines.push(format!("hidden: {}", explained.masked_paths.join(" ")));
        lines.push(format!("read-only: {}", explained.readonly_paths.join(" ")));
    }
    lines
}

fn processes(explained: &Explanation) -> Vec<String> {
    if explained.processes.is_empty() {
        return vec!["none".into()];
    }
    let line = |process: &engine::containers::top::Process| {
        format!("{} (child of {}) as user {}: {}", process.pid, process.parent, process.uid, process.command)
    };
    explained.processes.iter().map(line).collect()
}
