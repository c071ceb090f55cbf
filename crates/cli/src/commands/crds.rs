//! `taffrail crds`.

use crate::output::line;

/// Prints the definitions as YAML, for `kubectl apply --server-side -f -`.
pub(crate) fn run() -> anyhow::Result<()> {
    for (_, yaml) in resources::definitions()? {
        line("---")?;
        line(yaml.trim_end())?;
    }
    Ok(())
}
