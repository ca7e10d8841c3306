"""The lab's stand-in for Logstash: it plays what a cluster sees of Logstash 6 to 9. see README.md."""
