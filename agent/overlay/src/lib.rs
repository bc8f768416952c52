//! The overlay network between nodes, programmed from the Node objects.
