//! The Kubernetes operator: watch, plan, apply.
