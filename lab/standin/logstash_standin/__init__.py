"""The lab's stand-in for Logstash: it simulates what a cluster sees of Logstash 6 to 9. See README.md."""
