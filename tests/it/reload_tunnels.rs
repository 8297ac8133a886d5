//! Open tunnels when the policy changes.
