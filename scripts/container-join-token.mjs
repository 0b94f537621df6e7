// In docker-compose.yml: makes a join token with the administrator key that the control plane wrote, for the agents.
import fs from 'node:fs'

const { SKERRY_URL, SKERRY_ADMIN_KEY_FILE, SKERRY_JOIN_TOKEN_FILE, SKERRY_JOIN_TOKEN_USES } = process.env

const response = await fetch(`${SKERRY_URL}/api/v1/join-tokens`, {
  method: 'POST',
  headers: {
    authorization: `Bearer ${fs.readFileSync(SKERRY_ADMIN_KEY_FILE, 'utf8').trim()}`,
    'content-type': 'application/json'
  },
  body: JSON.stringify({ uses: Number(SKERRY_JOIN_TOKEN_USES), capabilities: ['infer', 'convert'] })
})
if (!response.ok) throw new Error(`no join token: ${response.status} ${await response.text()}`)
const { token } = await response.json()
fs.writeFileSync(`${SKERRY_JOIN_TOKEN_FILE}.new`, token, { mode: 0o600 })
fs.renameSync(`${SKERRY_JOIN_TOKEN_FILE}.new`, SKERRY_JOIN_TOKEN_FILE)
