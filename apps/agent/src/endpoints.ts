/** Addresses below the control plane's own, which may hold a path prefix of a proxy. */
export type Endpoints = { enrol: URL; rotateKey: URL; socket: URL; libraries: URL; blob: (sha256: string) => URL }

export function endpointsOf(base: URL): Endpoints {
  const root = new URL(base)
  if (!root.pathname.endsWith('/')) root.pathname += '/'
  const socket = new URL('agent/v1', root)
  socket.protocol = root.protocol === 'https:' ? 'wss:' : 'ws:'
  return {
    enrol: new URL('agent/v1/enrol', root),
    rotateKey: new URL('agent/v1/rotate-key', root),
    socket,
    libraries: new URL('api/v1/runtime-libraries', root),
    blob: (sha256) => new URL(`api/v1/blobs/${sha256}`, root)
  }
}
