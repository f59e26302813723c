//! Desired state becomes actual state; one driver owns every dyno.
