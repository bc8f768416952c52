//! Tests of the whole product on systemd machines and virtual machines.
