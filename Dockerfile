# One image for every part; the target says which. Set-up inside is the same as outside: npm run setup.
FROM node:20-bookworm-slim AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates g++ python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /skerry
COPY . .
RUN npm run setup \
 && rm -rf /root/.cache /root/.npm /root/.local \
 && mkdir /data /join \
 && chown node:node /data /join
USER node
ENV NODE_ENV=production SKERRY_DATA_DIR=/data
VOLUME /data

FROM base AS control-plane
EXPOSE 8080
CMD ["node", "apps/control-plane/dist/server.js"]

FROM base AS agent
ENTRYPOINT ["node", "scripts/container-agent.mjs"]
