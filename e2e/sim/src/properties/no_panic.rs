//! Nothing panics: neither a node nor what it is built from. tokio would only end the task.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// What panicked on this thread since it was last asked.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics are noted from now on, beside what happened to them before.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string().replace('\n', " ")));
            before(panic);
        }));
    });
    PANICS.take();
}

/// What has panicked on this thread.
pub fn check(violations: &mut Vec<String>) {
    violations.extend(PANICS.take().into_iter().map(|panic| format!("no panic: {panic}")));
}
