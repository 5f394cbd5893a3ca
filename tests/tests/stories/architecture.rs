//! The import table of the house, held against what cargo knows.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate may import of this workspace.
const TABLE: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("mesh", &[]),
    ("gateway", &["proto", "mesh"]),
    ("auth-svc", &["proto", "mesh"]),
    ("chat-svc", &["proto", "mesh"]),
    ("file-svc", &["proto", "mesh"]),
    ("worker-svc", &["proto", "mesh"]),
    ("server", &["proto", "mesh", "gateway", "auth-svc", "chat-svc", "file-svc", "worker-svc"]),
    ("tests", &["proto", "mesh", "server"]),
];

/// Libraries that a crate must not import.
const FORBIDDEN: &[(&str, &[&str])] =
    &[("gateway", &["sea-orm", "sea-orm-migration", "object_store"]), ("proto", &["sea-orm", "tokio"])];

#[test]
fn crates_import_what_the_table_allows() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let table: BTreeMap<&str, BTreeSet<&str>> =
        TABLE.iter().map(|(name, allowed)| (*name, allowed.iter().copied().collect())).collect();
    let forbidden: BTreeMap<&str, &[&str]> = FORBIDDEN.iter().copied().collect();
    let members: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    assert_eq!(members, table.keys().map(ToString::to_string).collect(), "the table names every crate");
    for package in &metadata.packages {
        let name = package.name.to_string();
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        assert_eq!(folder, Some(name.as_str()), "a crate is named as its folder");
        for dependency in package.dependencies.iter().filter(|wanted| wanted.kind != DependencyKind::Development) {
            if members.contains(&dependency.name) {
                assert!(
                    table[name.as_str()].contains(dependency.name.as_str()),
                    "{name} must not import {}",
                    dependency.name
                );
            }
            let banned = forbidden.get(name.as_str()).is_some_and(|banned| banned.contains(&dependency.name.as_str()));
            assert!(!banned, "{name} must not import {}", dependency.name);
        }
    }
}
