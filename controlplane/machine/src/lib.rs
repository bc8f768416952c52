//! Systemd machines: root file systems, networks, booting, entering and stopping.
