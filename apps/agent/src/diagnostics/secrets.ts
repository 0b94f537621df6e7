/** Keys of the control plane and its sessions' tokens have a prefix; a private Ed25519 key in PKCS8 has a fixed start. */
const SHAPES = [/\b(?:session|join|skerry)_[A-Za-z0-9_-]{16,}/g, /MC4CAQAwBQYDK2Vw[A-Za-z0-9+/]+=*/g]

/** What may leave the device: `secrets`, and whatever looks like one of an earlier session, are taken out. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) if (secret !== '') clean = clean.replaceAll(secret, '[secret]')
  for (const shape of SHAPES) clean = clean.replaceAll(shape, '[secret]')
  return clean
}
