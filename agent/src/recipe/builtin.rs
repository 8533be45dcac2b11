//! The recipes that come with the agent.

/// A recipe that comes with the agent. Whoever makes an image signs it and puts it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinRecipe {
    /// Its name; its file is `<name>.toml`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The file's exact content, which signatures and sets pin.
    pub text: &'static str,
}

/// The recipes that come with the agent.
pub fn builtin_recipes() -> Vec<BuiltinRecipe> {
    vec![
        BuiltinRecipe { name: "sqlite", version: "1.0.0", text: include_str!("../../recipes/sqlite.toml") },
        BuiltinRecipe {
            name: "postgres-dump",
            version: "1.0.0",
            text: include_str!("../../recipes/postgres-dump.toml"),
        },
    ]
}
