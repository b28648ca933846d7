//! The table of reasons that `src/refusal.rs` is made of.

use std::fmt::Write as _;

use anyhow::Result;
use prost_reflect::DescriptorPool;

use crate::facts;

/// An invocation of the macro `reasons!`, with a line for each reason: its meaning, its names in code and on the wire,
/// its code, and the keys that its metadata may have.
pub fn table(pool: &DescriptorPool) -> Result<String> {
    let calls = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let calls = calls.map(|method| facts::call(&method)).collect::<Result<Vec<_>>>()?;
    let mut table = "reasons! {\n".to_owned();
    for reason in facts::reasons(pool)? {
        let refusals = calls.iter().flat_map(|call| &call.refusals).filter(|refusal| refusal.reason == reason.name);
        let mut keys: Vec<_> = reason.metadata.iter().chain(refusals.flat_map(|refusal| &refusal.also)).collect();
        keys.sort();
        keys.dedup();
        for line in reason.meaning.lines() {
            writeln!(table, "    /// {line}")?;
        }
        let (name, code) = (camel_case(&reason.name), camel_case(&reason.code));
        writeln!(table, "    {name} = {:?}, {code}, {keys:?};", reason.name)?;
    }
    table.push_str("}\n");
    Ok(table)
}

fn camel_case(name: &str) -> String {
    let words = name.split('_').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| format!("{first}{}", rest.to_lowercase())).collect()
}
