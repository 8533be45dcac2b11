//! The recipes inside an instance: those whose signature holds.

use std::collections::BTreeMap;
use std::path::Path;

use rekindle_domain::Digest;
use rekindle_domain::backup_set::RecipeReference;
use rekindle_step::{ErrorName, StepError};

use super::{LONGEST_RECIPE_BYTES, Recipe};
use crate::error::file;
use crate::files::read_bounded;
use crate::keys::{LONGEST_SIGNATURE_BYTES, TrustedKeys};

/// A recipe and what pins it.
#[derive(Debug, Clone)]
pub struct InstalledRecipe {
    /// What it says.
    pub recipe: Recipe,
    /// How a set refers to it.
    pub reference: RecipeReference,
}

/// The trusted recipes of an instance.
#[derive(Debug, Clone, Default)]
pub struct InstalledRecipes {
    recipes: BTreeMap<String, InstalledRecipe>,
}

impl InstalledRecipes {
    /// Reads every recipe of a folder. Each must be signed by a trusted key.
    ///
    /// # Errors
    /// When one cannot be read, is not sound, or its signature does not hold.
    pub fn read(folder: &Path, trusted: &TrustedKeys) -> Result<Self, StepError> {
        let entries = std::fs::read_dir(folder)
            .map_err(|error| file("reading the recipes in", folder, error))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| file("reading the recipes in", folder, error))?;
        let mut recipes = BTreeMap::new();
        for path in entries.iter().map(std::fs::DirEntry::path) {
            if path.extension().is_some_and(|extension| extension == "toml") {
                let installed = read_one(&path, trusted)?;
                recipes.insert(installed.recipe.name.clone(), installed);
            }
        }
        Ok(Self { recipes })
    }

    /// The recipe with this name.
    ///
    /// # Errors
    /// `Agent.RecipeUnknown` when there is none.
    pub fn named(&self, name: &str) -> Result<&InstalledRecipe, StepError> {
        self.recipes.get(name).ok_or_else(|| {
            unknown(format!("the recipe {name} is not installed")).next_step(
                "Put it and its signature into /etc/rekindle/recipes, or make the image anew with it",
            )
        })
    }

    /// The recipe that a set was taken with, to the byte.
    ///
    /// # Errors
    /// `Agent.RecipeUnknown` when there is none, or its version or content is another.
    pub fn pinned(&self, wanted: &RecipeReference) -> Result<&InstalledRecipe, StepError> {
        let installed = self.named(&wanted.name)?;
        if installed.reference == *wanted {
            return Ok(installed);
        }
        Err(unknown(format!(
            "the set was taken with the recipe {} {} of content {}, and {} of content {} is installed",
            wanted.name,
            wanted.version,
            wanted.sha256.short(),
            installed.reference.version,
            installed.reference.sha256.short(),
        ))
        .next_step("Make the image anew with the recipe that production has"))
    }
}

fn read_one(path: &Path, trusted: &TrustedKeys) -> Result<InstalledRecipe, StepError> {
    let shown = path.display();
    let absent = |what: &str| unknown(format!("{what} {shown} is not there"));
    let bytes = read_bounded(path, LONGEST_RECIPE_BYTES)?.ok_or_else(|| absent("the recipe"))?;
    let mut signed = path.as_os_str().to_owned();
    signed.push(".minisig");
    let signature = read_bounded(Path::new(&signed), LONGEST_SIGNATURE_BYTES)?.ok_or_else(|| {
        StepError::new(ErrorName::SignatureInvalid, format!("the recipe {shown} has no signature beside it"))
    })?;
    trusted.verify(&format!("the recipe {shown}"), &bytes, &signature)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unknown(format!("the recipe {shown} is not text")))?;
    let recipe = Recipe::parse(text)?;
    let (name, version) = (recipe.name.clone(), recipe.version.clone());
    let reference = RecipeReference { name, version, sha256: Digest::of(&bytes) };
    Ok(InstalledRecipe { recipe, reference })
}

fn unknown(what: String) -> StepError {
    StepError::new(ErrorName::RecipeUnknown, what)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot write its own recipes has failed")]
    use super::*;
    use crate::keys::SigningKey;
    use crate::recipe::builtin_recipes;

    fn installed(folder: &Path, key: &SigningKey) -> (TrustedKeys, RecipeReference) {
        let recipe = builtin_recipes()[0];
        let path = folder.join("sqlite.toml");
        std::fs::write(&path, recipe.text).unwrap();
        let signature = key.sign(recipe.text.as_bytes(), "a recipe").unwrap();
        std::fs::write(folder.join("sqlite.toml.minisig"), signature).unwrap();
        let reference = RecipeReference {
            name: "sqlite".to_owned(),
            version: recipe.version.to_owned(),
            sha256: Digest::of(recipe.text.as_bytes()),
        };
        (TrustedKeys::parse([key.public_text().unwrap().as_str()]).unwrap(), reference)
    }

    #[test]
    fn a_signed_recipe_is_found_by_its_pin_only() {
        let folder = tempfile::tempdir().unwrap();
        let (trusted, pin) = installed(folder.path(), &SigningKey::generate().unwrap());
        let recipes = InstalledRecipes::read(folder.path(), &trusted).unwrap();
        recipes.pinned(&pin).unwrap();
        let other_content = RecipeReference { sha256: Digest::of(b"other"), ..pin.clone() };
        let other_version = RecipeReference { version: "9".to_owned(), ..pin.clone() };
        let other_name = RecipeReference { name: "files".to_owned(), ..pin };
        for wrong in [other_content, other_version, other_name] {
            assert_eq!(recipes.pinned(&wrong).unwrap_err().name, ErrorName::RecipeUnknown);
        }
    }

    #[test]
    fn a_recipe_without_a_trusted_signature_stops_everything() {
        let folder = tempfile::tempdir().unwrap();
        let (trusted, _) = installed(folder.path(), &SigningKey::generate().unwrap());
        let path = folder.path().join("sqlite.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}\n# changed")).unwrap();
        let changed = InstalledRecipes::read(folder.path(), &trusted).unwrap_err();
        assert_eq!(changed.name, ErrorName::SignatureInvalid);
        std::fs::remove_file(folder.path().join("sqlite.toml.minisig")).unwrap();
        let unsigned = InstalledRecipes::read(folder.path(), &trusted).unwrap_err();
        assert_eq!(unsigned.name, ErrorName::SignatureInvalid);
    }
}
