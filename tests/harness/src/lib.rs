//! Test nodes with the NixOS test driver's vocabulary: systemd machines and virtual machines.
