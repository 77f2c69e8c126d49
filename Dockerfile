# syntax=docker/dockerfile:1
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No install scripts: the only one that matters here prepares the embedded Postgres, which the image does not have.
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json prisma.config.ts ./
COPY prisma prisma
COPY scripts scripts
COPY src src
COPY agent agent
# Optional are the embedded Postgres, and what only development has (the compiler, the Prisma CLI) but others may use.
RUN npm run build \
 && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && rm -f dist/.tsbuildinfo

FROM node:24-slim
LABEL org.opencontainers.image.title="Fabric Control Plane" \
      org.opencontainers.image.licenses="Apache-2.0"
# PORT also makes a worker listen, for its health check and its metrics.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 FABRIC_DATA_DIR=/var/lib/fabric
WORKDIR /app
RUN install -d -o node -g node -m 0700 /var/lib/fabric
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY prisma prisma
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "dist/src/main.js"]
