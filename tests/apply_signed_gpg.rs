//! Required signatures by OpenPGP keys: only keys that the user's keyring trusts count. Where there is
//! no gpg there is nothing to test, which is said.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::World;

/// A world with a keyring; its agent ends with it.
struct Keyring {
    world: World,
}

impl Drop for Keyring {
    fn drop(&mut self) {
        drop(self.world.command("gpgconf", &self.world.path("")).args(["--kill", "all"]).output());
    }
}

impl Keyring {
    /// `None`: there is no gpg.
    fn new(channel: &str, verify: &str) -> Option<Self> {
        if Command::new("gpg").arg("--version").output().is_err() {
            println!("skipped: there is no gpg on this machine");
            return None;
        }
        let mut world = World::new();
        world.write("g/gpg.conf", "batch\nno-tty\nquiet\n");
        fs::set_permissions(world.path("g"), fs::Permissions::from_mode(0o700)).unwrap();
        let home = world.path("g").display().to_string();
        world.env("GNUPGHOME", &home);
        world.config(&format!("deployment: {{channel: {channel}, source: tags, verify: {verify}}}\n"));
        Some(Self { world })
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        let output = self.world.command("gpg", &self.world.path("")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?} {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A new key, which its own keyring trusts ultimately. Returns its fingerprint.
    fn key(&self, more: &[&str], name: &str, expires: &str) -> String {
        let generate = ["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", expires];
        self.gpg(&[more, &generate].concat());
        let listed = self.gpg(&["--with-colons", "--list-keys", name]);
        let line = listed.lines().find(|l| l.starts_with("fpr:")).expect("a fingerprint");
        line.trim_matches(|c| ":fpr".contains(c)).to_owned()
    }

    /// Tags HEAD of `work` with a signature, by `program` where one is named.
    fn tag(&self, name: &str, key: &str, program: Option<&str>) {
        let work = self.world.path("work");
        let program = format!("gpg.program={}", program.unwrap_or("gpg"));
        self.world.git_in(&work, &["-c", &program, "tag", "-s", "-u", key, "-m", name, name]);
        self.world.git_in(&work, &["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    }

    fn apply(&self) -> support::Run {
        self.world.run("version-watch", &["--json"]).exits(0).tells("available", None);
        self.world.run("apply-update", &["--json"])
    }

    #[track_caller]
    fn refused(&self) {
        let before = self.world.head();
        self.apply().exits(3).tells("blocked", Some("bad_signature"));
        assert_eq!(self.world.head(), before);
        assert_eq!(self.world.steps(), Vec::<String>::new());
    }
}

#[test]
fn a_key_that_the_user_trusts_counts_until_it_is_revoked() {
    let Some(ring) = Keyring::new("beta", "tag") else { return };
    let key = ring.key(&[], "Good <good@example.org>", "never");
    ring.world.commit("second");
    ring.tag("v1.1.0", &key, None);
    ring.apply().exits(42);
    ring.world.commit("third");
    ring.tag("v1.2.0", &key, None);
    let revocation = ring.world.read(&format!("g/openpgp-revocs.d/{key}.rev"));
    ring.world.write("revoke", &revocation.replace(":-----BEGIN", "-----BEGIN"));
    ring.gpg(&["--import", ring.world.path("revoke").to_str().unwrap()]);
    let before = ring.world.head();
    ring.apply().exits(3).tells("blocked", Some("bad_signature"));
    assert_eq!(ring.world.head(), before);
}

#[test]
fn a_key_that_is_only_known_does_not_count() {
    let Some(ring) = Keyring::new("beta", "tag") else { return };
    let key = ring.key(&[], "Somebody <somebody@example.org>", "never");
    ring.world.commit("second");
    ring.tag("v1.1.0", &key, None);
    // What a keyring knows and does not trust.
    fs::remove_file(ring.world.path("g/trustdb.gpg")).unwrap();
    ring.refused();
}

#[test]
fn a_key_that_nobody_knows_does_not_count_whatever_the_checkout_says() {
    let Some(mut ring) = Keyring::new("beta", "tag") else { return };
    let key = ring.key(&[], "Somebody <somebody@example.org>", "never");
    ring.world.commit("second");
    ring.tag("v1.1.0", &key, None);
    let world = &mut ring.world;
    drop(world.command("gpgconf", &world.path("")).args(["--kill", "all"]).output());
    fs::create_dir(world.path("h")).unwrap();
    fs::set_permissions(world.path("h"), fs::Permissions::from_mode(0o700)).unwrap();
    let empty = world.path("h").display().to_string();
    world.env("GNUPGHOME", &empty);
    world.write(
        "yes",
        &format!(
            "#!/bin/sh\ntouch {}\nprintf '\\n[GNUPG:] NEWSIG\\n[GNUPG:] GOODSIG {} a\\n[GNUPG:] TRUST_ULTIMATE 0 pgp\\n'\n",
            world.path("asked").display(),
            &key[24..]
        ),
    );
    fs::set_permissions(world.path("yes"), fs::Permissions::from_mode(0o755)).unwrap();
    let yes = world.path("yes").display().to_string();
    for setting in ["gpg.program", "gpg.openpgp.program"] {
        world.git(&["config", setting, &yes]);
    }
    world.git(&["config", "gpg.minTrustLevel", "undefined"]);
    ring.refused();
    assert!(!ring.world.path("asked").exists(), "the checkout's program was asked");
}

#[test]
fn a_key_that_ran_out_does_not_count() {
    let Some(ring) = Keyring::new("alpha", "commit") else { return };
    let then = ["--faked-system-time", "20200101T000000"];
    let key = ring.key(&then, "Old <old@example.org>", "30d");
    ring.world.write("old-gpg", "#!/bin/sh\nexec gpg --faked-system-time 20200102T000000 \"$@\"\n");
    fs::set_permissions(ring.world.path("old-gpg"), fs::Permissions::from_mode(0o755)).unwrap();
    let work = ring.world.path("work");
    let program = format!("gpg.program={}", ring.world.path("old-gpg").display());
    let signer = format!("user.signingKey={key}");
    let commit = ["commit", "-q", "--allow-empty", "-S", "-m", "signed long ago"];
    ring.world.git_in(&work, &[&["-c", &program, "-c", &signer][..], &commit].concat());
    ring.world.git_in(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    ring.refused();
}
