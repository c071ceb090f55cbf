//! What Kubernetes refused of a cluster, in its own words: an edit has to mend it. Remembered, so that a status does not go back
//! and forth while the operator tries again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::plan::{Blocked, Plan, Step};

/// The last refusal of each cluster, by its uid.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    last: Mutex<HashMap<String, Refusal>>,
}

#[derive(Clone, Debug)]
struct Refusal {
    generation: Option<i64>,
    step: String,
    blocked: Blocked,
}

impl Refusals {
    /// Why a plan will not get through, if it still has the step that was refused and nobody edited the cluster since.
    pub(super) fn of(&self, uid: &str, generation: Option<i64>, plan: &Plan) -> Option<Blocked> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = last.get(uid).filter(|refusal| refusal.generation == generation)?;
        let is_planned = plan.steps.iter().any(|step| step.to_string() == refusal.step);
        is_planned.then(|| refusal.blocked.clone())
    }

    /// Notes what came of a step; `None` if Kubernetes may still take it.
    pub(super) fn note(
        &self,
        uid: &str,
        generation: Option<i64>,
        step: &Step,
        error: &anyhow::Error,
    ) -> Option<Blocked> {
        let blocked = refusal(step, error)?;
        let refusal = Refusal { generation, step: step.to_string(), blocked: blocked.clone() };
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), refusal);
        Some(blocked)
    }

    /// Of a cluster with which nothing is wrong any more, or that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// What trying again does not help against.
fn refusal(step: &Step, error: &anyhow::Error) -> Option<Blocked> {
    let status = error.chain().find_map(|cause| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status),
        _ => None,
    })?;
    let reason = match status.code {
        400 | 422 => "InvalidSpec",
        403 => "Forbidden",
        _ => return None,
    };
    Some(Blocked { reason, message: format!("Kubernetes refuses to {step}: {}", status.message) })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::{Blocked, Plan, Refusals, Step};

    fn failure(code: u16, message: &str) -> anyhow::Error {
        let status = Status::failure(message, "Invalid").with_code(code).boxed();
        anyhow::Error::new(kube::Error::Api(status)).context("applying")
    }

    #[test]
    fn what_kubernetes_refuses_is_said_until_somebody_edits_it() {
        let step = Step::DeleteService { name: "demo-ext-0".to_owned() };
        let plan = Plan { steps: vec![step.clone()], ..Plan::default() };
        let refusals = Refusals::default();
        assert_eq!(refusals.note("u-1", Some(1), &step, &failure(409, "try again")), None);
        assert_eq!(refusals.of("u-1", Some(1), &plan), None);
        let blocked = Blocked {
            reason: "InvalidSpec",
            message: "Kubernetes refuses to delete Service demo-ext-0: spec.x: must be y".to_owned(),
        };
        let refused = refusals.note("u-1", Some(1), &step, &failure(422, "spec.x: must be y"));
        assert_eq!(refused.as_ref(), Some(&blocked));
        assert_eq!(refusals.of("u-1", Some(1), &plan), Some(blocked));
        assert_eq!(refusals.of("u-1", Some(2), &plan), None, "somebody edited it");
        assert_eq!(refusals.of("u-1", Some(1), &Plan::default()), None, "it is not to be done any more");
        assert_eq!(refusals.of("u-2", Some(1), &plan), None);
        refusals.forget("u-1");
        assert_eq!(refusals.of("u-1", Some(1), &plan), None);
        let denied = refusals.note("u-1", Some(1), &step, &failure(403, "no")).expect("is refused");
        assert_eq!(denied.reason, "Forbidden");
    }
}
