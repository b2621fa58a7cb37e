//! Talks to the Proxmox VE API.
