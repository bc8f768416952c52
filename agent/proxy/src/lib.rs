//! The service proxy: Services and EndpointSlices as elements of the table `inet floe`.
