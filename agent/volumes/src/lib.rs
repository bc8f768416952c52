//! Volumes of a pod, made beneath a directory descriptor: config maps, secrets, downward API, projected,
//! emptyDir and hostPath.
