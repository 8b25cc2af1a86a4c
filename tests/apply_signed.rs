//! Required signatures: only what an allowed signer signed, under its own name, is installed.

mod support;

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
    world.write("evil-signers", &format!("a@example.org {}", world.read("evil.pub")));
    let signers = world.path("evil-signers");
    world.git(&["config", "gpg.ssh.allowedSignersFile", signers.to_str().unwrap()]);
    world.git(&["config", "gpg.ssh.program", "true"]);
    refused(&world);
}

#[test]
fn on_alpha_the_commit_must_be_signed() {
    let world = world("commit", "alpha");
    world.commit("unsigned");
    refused(&world);
    let work = world.path("work");
    let key = format!("user.signingKey={}", world.path("good").display());
    world.git_in(
        &work,
        &["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "--allow-empty", "-S", "-m", "signed"],
    );
    world.git_in(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    apply(&world).exits(42);
}
