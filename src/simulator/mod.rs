//! A simulated Proxmox VE: for trying the operator out, for tests, for benchmarks.
