db.getSiblingDB("app").createUser({
  user: "app",
  pwd: process.env.MONGODB_PASSWORD,
  roles: [{ role: "readWrite", db: "app" }],
});
