//! Required signatures: only what an allowed signer signed, under its own name, is installed.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use support::World;

/// A world that requires signatures by the key `good` and has a key `evil` too.
fn world(verify: &str, channel: &str) -> World {
    let world = World::new();
    for key in ["good", "evil"] {
        let file = world.path(key);
        let made = world
            .command("ssh-keygen", &world.path(""))
            .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let public = world.read("good.pub");
    world.write("signers", &format!("a@example.org namespaces=\"git\" {public}"));
    let signers = world.path("signers");
    world.config(&format!(
        "deployment: {{channel: {channel}, source: tags, verify: {verify}, allowed_signers: {}}}\n",
        signers.display()
    ));
    world
}

/// Makes and pushes a tag with a key, or unsigned.
fn tag(world: &World, name: &str, key: Option<&str>) {
    let work = world.path("work");
    let file = world.path(key.unwrap_or("good"));
    let key_setting = format!("user.signingKey={}", file.display());
    let kind = if key.is_some() { "-s" } else { "-a" };
    world.git_in(&work, &["-c", "gpg.format=ssh", "-c", &key_setting, "tag", kind, "-m", name, name]);
    world.git_in(&work, &["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
}

fn apply(world: &World) -> support::Run {
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    world.run("apply-update", &["--json"])
}

#[track_caller]
fn refused(world: &World) {
    let before = world.head();
    apply(world).exits(3).tells("blocked", Some("bad_signature"));
    assert_eq!(world.head(), before);
    assert_eq!(world.steps(), Vec::<String>::new());
}

#[test]
fn a_tag_of_an_allowed_signer_is_installed() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    apply(&world).exits(42);
}

#[test]
fn unsigned_lightweight_and_foreign_tags_are_refused() {
    for key in [None, Some("evil")] {
        let world = world("tag", "beta");
        world.commit("second");
        tag(&world, "v1.1.0", key);
        refused(&world);
    }
    let world = world("tag", "beta");
    world.commit("second");
    let work = world.path("work");
    world.git_in(&work, &["tag", "v1.1.0"]);
    world.git_in(&work, &["push", "--quiet", "origin", "refs/tags/v1.1.0"]);
    refused(&world);
}

#[test]
fn an_old_signed_tag_under_a_new_name_is_refused() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    let work = world.path("work");
    let object = world.git_in(&work, &["rev-parse", "refs/tags/v1.1.0"]);
    world.git_in(&work, &["update-ref", "refs/tags/v9.0.0", &object]);
    world.git_in(&work, &["push", "--quiet", "origin", "refs/tags/v9.0.0"]);
    refused(&world);
}

#[test]
fn the_checkouts_own_configuration_cannot_widen_the_trust() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("evil"));
    widen(&world);
    refused(&world);
}

/// A program that says of everything that it is well signed, in the words of every kind.
fn yes_sayer(world: &World) -> String {
    // Of ssh git reads the first line, of OpenPGP every line with this mark.
    let script = r#"#!/bin/sh
case "$*" in *find-principals*) echo a@example.org; exit 0;; esac
echo 'Good "git" signature for a@example.org with ED25519 key SHA256:x'
printf '\n[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123456789ABCDEF a\n[GNUPG:] TRUST_ULTIMATE 0 pgp\n'
"#;
    world.write("yes", script);
    fs::set_permissions(world.path("yes"), fs::Permissions::from_mode(0o755)).unwrap();
    world.path("yes").display().to_string()
}

/// Everything that the checkout's own configuration could say in favour of a signature.
fn widen(world: &World) {
    let yes = yes_sayer(world);
    world.write("evil-signers", &format!("a@example.org {}", world.read("evil.pub")));
    let signers = world.path("evil-signers").display().to_string();
    for (key, value) in [
        ("gpg.format", "openpgp"),
        ("gpg.program", &yes),
        ("gpg.openpgp.program", &yes),
        ("gpg.x509.program", &yes),
        ("gpg.ssh.program", &yes),
        ("gpg.ssh.allowedSignersFile", &signers),
        ("gpg.minTrustLevel", "undefined"),
    ] {
        world.git(&["config", key, value]);
    }
}

/// A commit signed by a key, pushed to the branch.
fn commit(world: &World, key: &str, message: &str) -> String {
    let work = world.path("work");
    let key = format!("user.signingKey={}", world.path(key).display());
    world.git_in(&work, &["add", "--all"]);
    let made = ["commit", "-q", "--allow-empty", "-S", "-m", message];
    world.git_in(&work, &[&["-c", "gpg.format=ssh", "-c", &key][..], &made].concat());
    world.git_in(&work, &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
    world.git_in(&work, &["rev-parse", "HEAD"])
}

/// Writes an object with this content in `work`. Returns its id.
fn write_object(world: &World, kind: &str, content: &str) -> String {
    world.write("object", content);
    let file = world.path("object").display().to_string();
    world.git_in(&world.path("work"), &["hash-object", "-t", kind, "-w", &file])
}

fn object(world: &World, kind: &str, name: &str) -> String {
    world.git_in(&world.path("work"), &["cat-file", kind, name]) + "\n"
}

fn push(world: &World, object: &str, reference: &str) {
    let spec = format!("+{object}:{reference}");
    world.git_in(&world.path("work"), &["push", "--quiet", "origin", &spec]);
}

#[test]
fn on_alpha_the_commit_must_be_signed() {
    let world = world("commit", "alpha");
    world.commit("unsigned");
    refused(&world);
    commit(&world, "evil", "signed by somebody else");
    refused(&world);
    commit(&world, "good", "signed");
    apply(&world).exits(42);
}

#[test]
fn a_merge_needs_a_signature_of_its_own() {
    let world = world("commit", "alpha");
    let work = world.path("work");
    world.git_in(&work, &["switch", "--quiet", "-c", "side"]);
    commit(&world, "good", "signed, on the side");
    world.git_in(&work, &["switch", "--quiet", "main"]);
    commit(&world, "good", "signed, on the branch");
    world.git_in(&work, &["merge", "--quiet", "--no-ff", "-m", "not signed", "side"]);
    push(&world, "HEAD", "refs/heads/main");
    refused(&world);
}

#[test]
fn on_beta_the_commit_of_a_tag_can_be_what_must_be_signed() {
    let world = world("commit", "beta");
    world.commit("unsigned");
    tag(&world, "v1.1.0", Some("good"));
    refused(&world);
    commit(&world, "good", "signed");
    tag(&world, "v1.2.0", None);
    apply(&world).exits(42);
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    let changed = object(&world, "tag", "v1.1.0").replace("\nv1.1.0\n", "\nv1.1.0 and more\n");
    push(&world, &write_object(&world, "tag", &changed), "refs/tags/v1.1.0");
    refused(&world);

    let world = self::world("commit", "alpha");
    world.write("work/evil.txt", "evil\n");
    world.commit("what is wanted to be installed");
    let tree = world.git_in(&world.path("work"), &["rev-parse", "HEAD^{tree}"]);
    let signed = commit(&world, "good", "signed");
    let was = world.git_in(&world.path("work"), &["rev-parse", "HEAD~2^{tree}"]);
    let text = object(&world, "commit", &signed);
    let text = text.replace(&format!("tree {tree}"), &format!("tree {was}"));
    push(&world, &write_object(&world, "commit", &text), "refs/heads/main");
    refused(&world);
}

#[test]
fn a_signed_tag_is_bound_to_its_commit() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    let second = world.git_in(&world.path("work"), &["rev-parse", "HEAD"]);
    let other = world.commit("of somebody else");
    let text = object(&world, "tag", "v1.1.0").replace(&second, &other);
    push(&world, &write_object(&world, "tag", &text), "refs/tags/v1.1.0");
    refused(&world);
}

#[test]
fn an_object_put_in_the_place_of_a_signed_one_is_not_installed() {
    let world = world("commit", "alpha");
    world.write("work/a.txt", "good\n");
    let good = commit(&world, "good", "signed");
    world.git(&["fetch", "--quiet"]);
    world.write("checkout/evil.txt", "evil\n");
    world.git(&["add", "evil.txt"]);
    world.git(&["commit", "--quiet", "-m", "evil"]);
    let evil = world.head();
    world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    world.git(&["replace", &good, &evil]);
    apply(&world).exits(42);
    assert!(world.path("checkout/a.txt").exists() && !world.path("checkout/evil.txt").exists());
}

#[test]
fn the_list_of_signers_says_for_what_and_until_when() {
    let only = |options: &str| {
        let world = world("tag", "beta");
        world.commit("second");
        tag(&world, "v1.1.0", Some("good"));
        world.write("signers", &format!("a@example.org {options} {}", world.read("good.pub")));
        world
    };
    refused(&only("namespaces=\"file\""));
    refused(&only("namespaces=\"git\",valid-before=\"20200101\""));
    apply(&only("namespaces=\"git\",valid-after=\"20200101\"")).exits(42);
    let world = only("namespaces=\"git\"");
    let revoked = world.path("good.pub").display().to_string();
    world.git(&["config", "gpg.ssh.revocationFile", &revoked]);
    refused(&world);
}

#[test]
fn the_list_of_signers_lies_outside_the_checkout() {
    let world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    let list = world.read("signers");
    world.write("checkout/config/signers", &list);
    symlink(world.path("checkout/config/signers"), world.path("link")).unwrap();
    symlink(world.path("checkout/config"), world.path("folder")).unwrap();
    for place in
        ["config/signers", ".git/signers", "../link", "../folder/signers", "../checkout/config/signers"]
    {
        world.config(&format!(
            "deployment: {{channel: beta, source: tags, verify: tag, allowed_signers: {place}}}\n"
        ));
        for program in ["version-watch", "apply-update"] {
            world.run(program, &["--json"]).exits(2).tells("invalid", Some("invalid_config"));
        }
    }
    assert_eq!(world.steps(), Vec::<String>::new());
}

#[test]
fn without_a_list_no_ssh_signature_counts() {
    let world = world("tag", "beta");
    world.config("deployment: {channel: beta, source: tags, verify: tag}\n");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    // Whose keys the checkout itself trusts says nothing: an update could have changed that.
    widen(&world);
    let signers = world.path("signers").display().to_string();
    world.git(&["config", "gpg.ssh.allowedSignersFile", &signers]);
    refused(&world);
}

/// Git may die of a verifying program that reads nothing; that is no good signature either.
#[test]
fn a_git_that_dies_of_its_verifying_program_has_found_no_signature() {
    let mut world = world("tag", "beta");
    world.commit("second");
    tag(&world, "v1.1.0", Some("good"));
    let git = support::real_git();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *verify-tag*) kill -PIPE $$;; esac\nexec {} \"$@\"\n",
        git.display()
    );
    world.put_on_path("git", &script);
    refused(&world);
}
