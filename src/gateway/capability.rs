use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

const NET_ADMIN: CapabilitySet = CapabilitySet::NET_ADMIN;

/// By which root reads and writes what others own. Whoever is not root mostly has none of them.
const OF_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER);

/// Whether this thread may change what the kernel lets pass: CAP_NET_ADMIN (capabilities(7)).
pub(super) fn has_net_admin() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(NET_ADMIN))
}

/// Whether this thread has CAP_NET_ADMIN in any way that it could use or hand on.
pub fn may_have_net_admin() -> bool {
    capabilities(None).is_ok_and(|sets| sets.permitted.union(sets.inheritable).contains(NET_ADMIN))
}

/// Takes CAP_NET_ADMIN from this thread, from those that it starts, and from the programs that they start. To be called before
/// there is another thread.
///
/// # Errors
/// The kernel does not do it.
pub fn drop_net_admin() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    match remove_capability_from_bounding_set(NET_ADMIN) {
        Ok(()) => {}
        // Without CAP_SETPCAP: nobody who has this little has a way to more of it but a program that is trusted with it.
        Err(Errno::PERM) => set_no_new_privs(true)?,
        Err(error) => return Err(error.into()),
    }
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(NET_ADMIN);
    }
    Ok(set_capabilities(None, sets)?)
}

/// Takes all but CAP_NET_ADMIN from this thread, and hands that on to the programs that it starts. To be called before there is
/// another thread.
///
/// # Errors
/// The kernel does not do it.
pub(super) fn keep_net_admin_alone() -> io::Result<()> {
    bound_by(NET_ADMIN)?;
    set_no_new_privs(true)?;
    set_capabilities(None, CapabilitySets { effective: NET_ADMIN, permitted: NET_ADMIN, inheritable: NET_ADMIN })?;
    Ok(configure_capability_in_ambient_set(NET_ADMIN, true)?)
}

/// Takes all but those that are about files from this thread, from those that it starts, and from the programs that they start;
/// none of these can have more than that again. To be called before there is another thread.
///
/// # Errors
/// The kernel does not do it.
pub fn keep_capabilities_of_files_alone() -> io::Result<()> {
    bound_by(OF_FILES)?;
    set_no_new_privs(true)?;
    let sets = capabilities(None)?;
    let kept = sets.permitted.intersection(OF_FILES);
    // What is not inheritable is not ambient either.
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?)
}

/// As root, a program that is started has what is in the bounding set, whoever starts it: leaves these in it.
fn bound_by(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel has no such capability, or this thread no CAP_SETPCAP and then no such way either.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
