/* Berkeley DB's calls are pointers in a struct that C alone knows: plain functions for them. */
#include <db.h>
#include <string.h>

DB *compare_bdb_open(const char *path, unsigned cache, unsigned records, unsigned record_len) {
  DB *db;
  if (db_create(&db, NULL, 0) != 0) return NULL;
  db->set_cachesize(db, 0, cache, 1);
  db->set_h_nelem(db, records);
  /* The formula of the reference guide for pages of 4 KiB. */
  db->set_pagesize(db, 4096);
  db->set_h_ffactor(db, (4096 - 32) / (record_len + 8));
  if (db->open(db, NULL, path, NULL, DB_HASH, DB_CREATE | DB_THREAD, 0644) != 0) {
    db->close(db, 0);
    return NULL;
  }
  return db;
}

static DBT dbt(const void *data, unsigned size) {
  DBT t;
  memset(&t, 0, sizeof t);
  t.data = (void *)data;
  t.size = size;
  return t;
}

int compare_bdb_put(DB *db, const void *key, unsigned klen, const void *value, unsigned vlen) {
  DBT k = dbt(key, klen), v = dbt(value, vlen);
  return db->put(db, NULL, &k, &v, 0);
}

/* The length of the value, or -1 if there is none, or -2 for an error. */
int compare_bdb_get(DB *db, const void *key, unsigned klen, void *buffer, unsigned room) {
  DBT k = dbt(key, klen), v = dbt(buffer, 0);
  v.ulen = room;
  v.flags = DB_DBT_USERMEM;
  int code = db->get(db, NULL, &k, &v, 0);
  return code == 0 ? (int)v.size : code == DB_NOTFOUND ? -1 : -2;
}

int compare_bdb_del(DB *db, const void *key, unsigned klen) {
  DBT k = dbt(key, klen);
  return db->del(db, NULL, &k, 0);
}

int compare_bdb_sync(DB *db) { return db->sync(db, 0); }

int compare_bdb_close(DB *db) { return db->close(db, 0); }

const char *compare_bdb_version(void) { return db_version(NULL, NULL, NULL); }
