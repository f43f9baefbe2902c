//! A directory with one of everything that a layer can hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stdx::{Context, Result};

use crate::command;

const SCRIPT: &str = r#"
set -e
cd "$1"
mkdir -p bin etc sub/dir/deep old/inner tmp proc sys dev
cp /bin/busybox bin/busybox
for name in sh rm mkdir chmod chown mv ln echo touch; do ln bin/busybox bin/$name; done
echo alpha > etc/a; echo beta > etc/b; : > etc/empty; echo gone > etc/gone
echo 1 > old/inner/1; echo 2 > old/2
chmod 4755 bin/rm; chmod 2711 sub; chmod 1777 tmp; chmod 0 etc/empty
chown 70000:3000000 etc/b; chown -h 12:34 sub/dir
touch -d '2001-02-03 04:05:06.123456789 UTC' etc/a sub/dir/deep
touch -d '1969-12-31 23:59:58 UTC' etc/b
mknod sub/null c 1 3; mknod sub/loop b 7 300; mkfifo -m 640 sub/fifo
ln -s ../etc/a sub/link; ln -s /no/where sub/dangling; ln etc/a sub/dir/hard
setfattr -n user.note -v 'a value' etc/a
cp bin/busybox bin/capable; setcap cap_net_raw,cap_chown+ep bin/capable
truncate -s 3M sub/sparse; printf end | dd of=sub/sparse bs=1 seek=2000000 conv=notrunc status=none
echo odd > "sub/$(printf 'caf\351')"; echo space > 'sub/ a b '
echo long > "sub/$(head -c 255 /dev/zero | tr '\0' n)"
"#;

/// What a container does to it: whiteouts, an opaque directory, a file where a directory was and the other way round, a
/// link to a file of the layer below, new modes and owners.
pub(super) const CHANGES: &str = "rm /etc/gone && rm -r /old && mkdir /old && echo new > /old/new && rm /etc/b && mkdir /etc/b \
    && echo in > /etc/b/in && rm -r /sub/dir/deep && echo file > /sub/dir/deep && ln /etc/a /etc/linked && chmod 700 /tmp \
    && chown 5:6 /sub/null && mv /sub/link /sub/moved && echo more > /etc/c";

/// Much the same, in the directory itself.
pub(super) const CHANGES_OUTSIDE: &str = "rm etc/gone && rm -r old && mkdir old && echo new > old/new && rm etc/b && mkdir etc/b \
    && echo in > etc/b/in && chmod 700 tmp && mv sub/link sub/moved && echo more > etc/c";

pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).context(|| format!("cannot make {dir:?}"))?;
    command::run(Command::new("sh").args(["-c", SCRIPT, "sh"]).arg(dir))?;
    Ok(dir.to_owned())
}

/// Its tar, as GNU tar writes it with everything it knows.
pub(super) fn archive(source: &Path, to: &Path) -> Result<String> {
    let mut tar = Command::new("tar");
    tar.args(["--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name", "-cf"]).arg(to);
    command::run(tar.arg("-C").arg(source).arg("."))?;
    Ok(to.display().to_string())
}
