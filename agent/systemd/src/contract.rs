//! What every [`UnitManager`](crate::UnitManager) must do.
