//! `vxlan`: the node's end of the overlay between nodes.
