//! Which variables an instruction sees.

use std::collections::BTreeMap;

use dockerfile::{Expander, is_predefined_proxy_arg};

use crate::options::Options;

/// The arguments of a stage that have been declared so far, and how a word is expanded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    escape: char,
    args: BTreeMap<String, String>,
    /// Arguments that programs get without being declared.
    proxies: BTreeMap<String, String>,
}

impl Scope {
    pub(crate) fn new(escape: char, options: &Options) -> Self {
        let given = options.build_args.iter().filter(|(name, _)| is_predefined_proxy_arg(name));
        Self { escape, args: BTreeMap::new(), proxies: given.map(|(k, v)| (k.clone(), v.clone())).collect() }
    }

    /// `ARG NAME` or `ARG NAME=default`: what was given for the build counts, then the default, then the argument of this
    /// name before the first FROM.
    pub(crate) fn declare(
        &mut self,
        name: &str,
        default: Option<String>,
        options: &Options,
        globals: &BTreeMap<String, String>,
    ) {
        let value = options.build_args.get(name).cloned().or(default).or_else(|| globals.get(name).cloned());
        if let Some(value) = value {
            self.args.insert(name.to_owned(), value);
        }
    }

    /// Expands a word; variables of the environment go before arguments.
    pub(crate) fn word(&self, env: &[String], text: &str) -> Result<String, String> {
        Ok(self.expanded(env, text)?.text)
    }

    /// The same, cut at white space that stood outside quotes.
    pub(crate) fn words(&self, env: &[String], text: &str) -> Result<Vec<String>, String> {
        Ok(self.expanded(env, text)?.words)
    }

    /// The content of a here-document.
    pub(crate) fn content(&self, env: &[String], text: &str) -> Result<String, String> {
        let lookup = |name: &str| self.lookup(env, name);
        Ok(Expander::new(self.escape, &lookup).content(text)?.text)
    }

    fn expanded(&self, env: &[String], text: &str) -> Result<dockerfile::Expanded, String> {
        let lookup = |name: &str| self.lookup(env, name);
        Expander::new(self.escape, &lookup).word(text)
    }

    fn lookup(&self, env: &[String], name: &str) -> Option<String> {
        let of_env = env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        of_env.map(str::to_owned).or_else(|| self.args.get(name).cloned())
    }

    /// The environment of a program. The second list is what is kept out of keys.
    pub(crate) fn environment(&self, env: &[String]) -> (Vec<String>, Vec<String>) {
        let is_free = |name: &String| !env.iter().any(|entry| entry.split('=').next() == Some(name));
        let entries = |args: &BTreeMap<String, String>| -> Vec<String> {
            args.iter().filter(|(name, _)| is_free(name)).map(|(name, value)| format!("{name}={value}")).collect()
        };
        let mut declared = env.to_vec();
        declared.extend(entries(&self.args));
        let undeclared: BTreeMap<_, _> = self
            .proxies
            .iter()
            .filter(|(name, _)| !self.args.contains_key(*name))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        (declared, entries(&undeclared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_goes_before_defaults_and_the_environment_before_all() {
        let build_args = BTreeMap::from([("A".to_owned(), "given".to_owned()), ("HTTP_PROXY".into(), "p".into())]);
        let options = Options { build_args, ..Options::default() };
        let globals = BTreeMap::from([("B".to_owned(), "global".to_owned())]);
        let mut scope = Scope::new('\\', &options);
        assert_eq!(scope.word(&[], "[$A]").unwrap(), "[]");
        scope.declare("A", Some("default".into()), &options, &globals);
        scope.declare("B", None, &options, &globals);
        scope.declare("C", None, &options, &globals);
        let env = ["B=env".to_owned()];
        assert_eq!(scope.word(&env, "$A $B ${C:-none}").unwrap(), "given env none");
        assert_eq!(scope.word(&[], "$B").unwrap(), "global");
        let (declared, proxies) = scope.environment(&env);
        assert_eq!(declared, ["B=env", "A=given"]);
        assert_eq!(proxies, ["HTTP_PROXY=p"]);
    }
}
